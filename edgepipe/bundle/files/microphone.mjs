// Sound of the microphone as it comes: [samples, samples a second] after `seconds`, or once `stopped` resolves.
export async function recorded(seconds, stopped) {
  const plain = {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false};
  const stream = await navigator.mediaDevices.getUserMedia({audio: plain}), context = new AudioContext();
  try {
    await context.audioWorklet.addModule("worklet.mjs");
    const node = new AudioWorkletNode(context, "samples"), parts = [], wanted = Math.ceil(seconds * context.sampleRate);
    let count = 0;
    const enough = new Promise((resolve) => {
      node.port.onmessage = ({data}) => {
        parts.push(data);
        if ((count += data.length) >= wanted) resolve();
      };
    });
    context.createMediaStreamSource(stream).connect(node);
    await Promise.race([enough, stopped]);
    const samples = new Float32Array(Math.min(count, wanted));
    let at = 0;
    for (const part of parts) {
      samples.set(part.subarray(0, samples.length - at), at);
      at = Math.min(samples.length, at + part.length);
    }
    if (!samples.length) throw new Error("The microphone gave nothing.");
    return [samples, context.sampleRate];
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  }
}
