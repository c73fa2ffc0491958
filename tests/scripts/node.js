// Buffers (malloc), worker threads (one heap each), children, compression.
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');
const crypto = require('crypto');
const zlib = require('zlib');

function work(seed) {
  const hash = crypto.createHash('sha256');
  const held = new Map();
  let state = seed;
  for (let i = 0; i < 20000; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    const key = state % 300;
    if (held.has(key)) {
      hash.update(held.get(key));
      held.delete(key);
    } else {
      held.set(key, Buffer.alloc(1 + (state % 30000), i % 251));
    }
  }
  return hash.digest('hex');
}

if (isMainThread) {
  console.log('main', work(1));
  const text = Array.from({ length: 100000 }, (_, i) => `line ${i}`).join('\n');
  console.log('zlib', zlib.inflateSync(zlib.deflateSync(text)).toString() === text);
  console.log('child', execFileSync('sh', ['-c', 'echo from a child']).toString().trim());
  const results = [];
  for (let seed = 2; seed < 5; seed++) {
    new Worker(__filename, { workerData: seed }).on('message', (digest) => {
      results.push(`${seed} ${digest}`);
      if (results.length === 3) console.log(results.sort().join('\n'));
    });
  }
} else {
  parentPort.postMessage(work(workerData));
}
