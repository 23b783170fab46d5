// Short clips: each frame is derained by itself and encoded by WebCodecs; sound is copied.

import { BlobSource, BufferTarget, Conversion, type DiscardedTrack, Input, type InputFormat, MovOutputFormat, MP4, Mp4OutputFormat, Output, type OutputFormat, QTFF, Quality, type VideoSample, WEBM, WebMOutputFormat } from "mediabunny";
import { checkSize } from "./containers/header";
import type { Report } from "./density";
import { Failure } from "./failure";
import type { Network, OnShare, Pixels, Sensing } from "./network";
import { getContext, type Result, type Wishes } from "./route";

const MOST_SECONDS = 30; // minutes of work, and a file that fits memory
const SENSED_SECONDS = 1; // rain lasts longer
const WRITTEN = new Map<InputFormat, new () => OutputFormat>([[MP4, Mp4OutputFormat], [QTFF, MovOutputFormat], [WEBM, WebMOutputFormat]]);

// Derain a clip; see derainFile for arguments and result. The report is that of the frame with most rain.
export async function derainClip(network: Network, file: File, wishes: Wishes, onShare: OnShare): Promise<Result> {
  if (typeof VideoDecoder === "undefined" || typeof VideoEncoder === "undefined") throw refuse(file, "this browser has no WebCodecs, which decode and encode clips");
  using input = new Input({ source: new BlobSource(file), formats: [...WRITTEN.keys()] });
  const seconds = await measure(input, file);
  const format = new (WRITTEN.get(await input.getFormat()) ?? Mp4OutputFormat)();
  const target = new BufferTarget();
  const output = new Output({ format, target });
  const frames = new Frames(network, wishes, seconds, onShare);
  const conversion = await Conversion.init({
    input,
    output,
    trim: { start: 0 }, // keeps the timestamps, which else begin with 0
    video: (track) => (track.number === 1 ? { process: (frame) => frames.derain(frame), quality: new Quality("very-high") } : { discard: true }),
    showWarnings: false,
  });
  const lost = conversion.discardedTracks;
  const video = lost.find(({ track, reason }) => track.isVideoTrack() && reason !== "discarded_by_user");
  if (video) throw refuse(file, await describe(video));
  await conversion.execute();
  const type = format.mimeType;
  const common = { report: frames.heaviest, engine: network.engine.name };
  if (frames.areDry) return { ...common, content: new Blob([file], { type }), isLeftAlone: true, notes: "" };
  const notes = lost.length ? `not kept: ${lost.map(({ track }) => (track.isAudioTrack() ? "a sound track" : "a further video track")).join(", ")}` : "";
  return { ...common, content: new Blob([target.buffer!], { type }), isLeftAlone: false, notes };
}

class Frames {
  heaviest: Report | null = null;
  areDry = true;
  private sensing: Sensing | null = null;
  private sensedUntil = -Infinity; // seconds

  constructor(
    private readonly network: Network,
    private readonly wishes: Wishes,
    private readonly seconds: number, // of the clip
    private readonly onShare: OnShare,
  ) {}

  // Return a canvas with the frame without its rain.
  async derain(frame: VideoSample): Promise<OffscreenCanvas> {
    const [width, height] = [frame.displayWidth, frame.displayHeight];
    const canvas = new OffscreenCanvas(width, height);
    const context = getContext(canvas);
    frame.draw(context, 0, 0);
    const image = { width, height, rgba: context.getImageData(0, 0, width, height).data, isGrey: false };
    const sensing = await this.sense(image, frame.timestamp);
    this.onShare(frame.timestamp / this.seconds); // may stop the work
    if (sensing.report?.isDry && !this.wishes.always) return canvas;
    this.areDry = false;
    const tell = (share: number) => this.onShare((frame.timestamp + share * frame.duration) / this.seconds);
    await this.network.derain(image, sensing, tell);
    sensing.look = null; // of this frame
    context.putImageData(new ImageData(image.rgba, width, height), 0, 0);
    return canvas;
  }

  // Sense one frame of a second; scale and gate are those of all its frames.
  private async sense(image: Pixels, seconds: number): Promise<Sensing> {
    if (this.sensing && seconds < this.sensedUntil) return this.sensing;
    this.sensing = await this.network.sense(image, () => this.onShare(seconds / this.seconds));
    this.sensedUntil = seconds + SENSED_SECONDS;
    const { report } = this.sensing;
    if (report && report.score >= (this.heaviest?.score ?? 0)) this.heaviest = report;
    return this.sensing;
  }
}

// Return the length of a clip in seconds, or say why it is not taken.
async function measure(input: Input, file: File): Promise<number> {
  let seconds;
  try {
    const track = await input.getPrimaryVideoTrack();
    if (!track) throw refuse(file, "it holds no video that this page reads");
    checkSize(await track.getDisplayWidth(), await track.getDisplayHeight(), file.name);
    seconds = await input.computeDuration();
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${file.name} is a damaged clip, or none of MP4, MOV and WebM. Fetch or save it again.`);
  }
  if (seconds > MOST_SECONDS) throw refuse(file, `it is ${Math.ceil(seconds)} s long, and this page takes clips of up to ${MOST_SECONDS} s`);
  return seconds;
}

function refuse(file: File, reason: string): Failure {
  return new Failure(`${file.name} is not derained here: ${reason}. The command crdnet video takes clips of any length.`);
}

async function describe({ track, reason }: DiscardedTrack): Promise<string> {
  const codec = (await track.getCodec())?.toUpperCase() ?? "of an unknown codec";
  return reason === "no_encodable_target_codec" ? "this browser encodes no video for its container" : `its video is ${codec}, which this browser does not decode`;
}
