# crdnet serve in a container: see docs/server.md.
#
#   docker build -t crdnet .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -e CRDNET_API_KEY=... crdnet
#
# buildah and podman drop HEALTHCHECK from images in the OCI format; give --format docker, or the
# check of compose.yaml.

# BASE: an image with Python 3.11 and venv; tools/check_container.sh builds one on Debian itself.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS build
# EXTRAS: cluster makes the image of workers of `crdnet batch`, see docs/how-to/cluster.md.
ARG EXTRAS=serve
WORKDIR /src
RUN python3 -m venv /venv
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md ./
COPY configs configs
COPY src src
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]" \
    && /venv/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin crdnet
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CRDNET_HOST=0.0.0.0
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["crdnet", "serve"]
