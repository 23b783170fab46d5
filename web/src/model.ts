// Metadata of a model file, read from the ONNX file itself (crdnet.runtime.model).

export interface ModelInfo {
  name: string;
  sizeMultiple: number;
  margin: number;
  senses: boolean;
}

const GRAPH = 7;
const METADATA = 14;
const GRAPH_OUTPUT = 12;

// Yield the length-delimited fields of a protobuf message.
function* iterateFields(bytes: Uint8Array): Generator<[number, Uint8Array]> {
  let at = 0;
  const readNumber = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("The model file is damaged; load the page again.");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readNumber();
    const kind = tag & 7;
    if (kind === 2) {
      const length = readNumber();
      yield [tag >>> 3, bytes.subarray(at, at + length)];
      at += length;
    } else if (kind === 0) readNumber();
    else at += kind === 1 ? 8 : 4;
  }
}

function readText(bytes: Uint8Array, wanted: number): string {
  for (const [field, content] of iterateFields(bytes)) {
    if (field === wanted) return new TextDecoder().decode(content);
  }
  return "";
}

export function readModelInfo(file: Uint8Array): ModelInfo {
  const metadata = new Map<string, string>();
  const outputs: string[] = [];
  for (const [field, content] of iterateFields(file)) {
    if (field === METADATA) metadata.set(readText(content, 1), readText(content, 2));
    if (field !== GRAPH) continue;
    for (const [part, value] of iterateFields(content)) if (part === GRAPH_OUTPUT) outputs.push(readText(value, 1));
  }
  if (metadata.get("format") !== "crdnet/1" || metadata.get("task") !== "derain" || metadata.get("colour") !== "rgb") {
    throw new Error("The model file is not a crdnet model for RGB images; make one with `crdnet export`.");
  }
  return {
    name: metadata.get("name")!,
    sizeMultiple: Number(metadata.get("size_multiple")),
    margin: Number(metadata.get("margin")),
    senses: outputs.includes("density"),
  };
}
