#!/bin/sh
# Build the container on a Debian base without a registry of images, and derain an image in it. Then build
# that of workers, and run a job in it on a Ray cluster of its own and another without Ray.
#
#   tools/check_container.sh [OPTION OF buildah build]...
#
# Needs root, buildah and debootstrap, and the package indexes of Debian and Python. Options are for
# pip in a network of your own, such as --volume /etc/pip.conf:/etc/pip.conf:ro.
set -eu

LARGEST_MEGABYTES=400
PORT=8765
folder=$(mktemp -d)
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

base= container= server= worker=
stop() {
    [ -z "$server" ] || kill "$server" || true
    [ -z "$container" ] || buildah umount "$container" > /dev/null
    for each in $worker $container $base; do buildah rm "$each" > /dev/null; done
    rm -rf --one-file-system "$folder"
}
trap stop EXIT

debootstrap --variant=minbase --include=python3,python3-venv bookworm "$folder/base" \
    http://deb.debian.org/debian > "$folder/debootstrap.log"
# Without these the base is about as large as a slim image from a registry.
rm -rf "$folder/base/var/cache/apt/archives" "$folder/base/var/lib/apt/lists" \
    "$folder/base/usr/share/doc" "$folder/base/usr/share/locale" "$folder/base/usr/share/man"
base=$(buildah from scratch)
tar -C "$folder/base" --one-file-system --exclude=./proc/* --exclude=./sys/* -cf "$folder/base.tar" .
buildah add --quiet "$base" "$folder/base.tar" / > /dev/null
buildah commit --quiet "$base" localhost/crdnet-base > /dev/null
build_image() { # EXTRAS TAG OPTION...
    extras=$1 tag=$2
    shift 2
    buildah build --quiet --format docker --build-arg BASE=localhost/crdnet-base \
        --build-arg EXTRAS="$extras" "$@" --tag "$tag" . > /dev/null
}
build_image serve localhost/crdnet "$@"

container=$(buildah from localhost/crdnet)
root=$(buildah mount "$container")

buildah inspect --type image localhost/crdnet | grep -q Healthcheck || {
    echo "the image has no health check" >&2
    exit 1
}
megabytes=$(du --summarize --one-file-system --block-size=MB "$root" | cut -dM -f1)
echo "the container has $megabytes MB"
[ "$megabytes" -lt "$LARGEST_MEGABYTES" ]

cp examples/medium.jpg "$folder/rainy.jpg"
chroot --userspec=10001 "$root" /usr/bin/env PATH=/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 \
    crdnet serve --port "$PORT" > "$folder/server.log" 2>&1 &
server=$!
curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null \
    "http://127.0.0.1:$PORT/readyz"
curl --silent --fail --form "file=@$folder/rainy.jpg" --output "$folder/derained.jpg" \
    "http://127.0.0.1:$PORT/v1/derain?always=true"
[ -s "$folder/derained.jpg" ]
echo "the server in the container derained an image"

build_image cluster localhost/crdnet-cluster "$@"
worker=$(buildah from localhost/crdnet-cluster)
root=$(buildah mount "$worker")
mkdir -m 777 "$root/frames" "$root/derained"
cp examples/*.jpg "$root/frames"
run_worker() { buildah run --user 10001 --env HOME=/tmp --env RAY_USAGE_STATS_ENABLED=0 "$worker" -- "$@"; }
run_worker crdnet batch /frames /derained/alone --shard 1/1 > "$folder/alone.log" 2>&1
run_worker sh -c "ray start --head --num-cpus=1 --include-dashboard=false && \
    crdnet batch /frames /derained/ray --address auto && ray stop" > "$folder/ray.log" 2>&1
for each in "$root"/frames/*; do
    cmp "$root/derained/alone/${each##*/}" "$root/derained/ray/${each##*/}"
done
echo "workers in containers derained the same images with Ray and without"
