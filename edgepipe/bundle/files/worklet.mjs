// Hands every block of the first channel to the page.
registerProcessor("samples", class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});
