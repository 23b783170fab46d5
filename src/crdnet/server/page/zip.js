// Zip files without compression: images are compressed already.

const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function computeCrc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// [size, value] pairs as little-endian bytes.
function pack(...fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

// Return a Blob with files of { name, content }; names are made different.
export async function makeZip(files) {
  const parts = [];
  const directory = [];
  const used = new Set();
  let offset = 0;
  for (const { name, content } of files) {
    const path = new TextEncoder().encode(chooseFreeName(name, used));
    const crc = computeCrc32(new Uint8Array(await content.arrayBuffer()));
    // Version 2.0, names in UTF-8, stored, 1 January 1980.
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, crc], [4, content.size], [4, content.size], [2, path.length], [2, 0]];
    parts.push(pack([4, 0x04034b50], ...common), path, content);
    directory.push(pack([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), path);
    offset += 30 + path.length + content.size;
  }
  if (offset > 0xf0000000 || files.length > 0xffff) throw new Error("The images are too many for one zip file; download them one by one.");
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = pack([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function chooseFreeName(name, used) {
  let free = name;
  for (let number = 2; used.has(free); number++) free = name.replace(/(\.[^.]*)?$/, `_${number}$1`);
  used.add(free);
  return free;
}
