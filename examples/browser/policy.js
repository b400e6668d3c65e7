// A policy that `bin/export --format=onnx` has written, for one environment.

import * as ort from
  './node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs';

ort.env.wasm.numThreads = 1; // more need headers that a plain server lacks

const ARRAYS = { // by dtype, as policy.json and onnxruntime both call it
  bool: Uint8Array, uint8: Uint8Array, int32: Int32Array,
  int64: BigInt64Array, float32: Float32Array, float64: Float64Array,
};

/** A tensor of one row that holds `values`, or zeros without them. */
function tensor({shape, dtype}, values) {
  const size = shape.reduce((product, side) => product * side, 1);
  const array = values ?
      ARRAYS[dtype].from(values) : new ARRAYS[dtype](size);
  if (array.length !== size) {
    throw new Error(`Got ${array.length} numbers; wanted ${size}: ${shape}.`);
  }
  return new ort.Tensor(dtype, array, [1, ...shape]);
}

export class Policy {
  /**
   * Loads `policy.json` and `policy.onnx`.
   *
   * @param {string} folder Address of the export, without a slash at its end.
   * @return {Promise<Policy>}
   * @throws {Error} If there is no such export.
   */
  static async load(folder) {
    const response = await fetch(`${folder}/policy.json`);
    if (!response.ok) {
      throw new Error(
          `${folder}/policy.json: ${response.status}. Export a policy there: ` +
          `bin/export --root_dir=RUN --format=onnx --out=DIR.`);
    }
    const facts = await response.json();
    if (facts.format !== 'onnx') {
      throw new Error(
          `${folder} is an export as ${facts.format}; a browser runs ONNX: ` +
          `bin/export --format=onnx.`);
    }
    const session = await ort.InferenceSession.create(`${folder}/policy.onnx`);
    return new Policy(facts, session);
  }

  constructor(facts, session) {
    this.facts = facts; // what policy.json says
    this.session = session;
    this.reset();
  }

  /** Begins an episode: what was seen before is forgotten. */
  reset() {
    this.first = true;
    this.state = {};
    for (const [name, field] of Object.entries(this.facts.inputs)) {
      if (name.startsWith('state_')) this.state[name] = tensor(field);
    }
  }

  /**
   * Chooses an action and keeps the state after it.
   *
   * @param {object} observation Numbers of each observation, by key, as the
   *   environment shows them; pictures that policy.json names under
   *   `by_client` as the agent reads them.
   * @return {Promise<number[]>} The action, one number where it is a choice.
   */
  async act(observation) {
    const inputs = this.facts.inputs;
    const feeds = {
      ...this.state, is_first: tensor(inputs.is_first, [this.first]),
    };
    for (const [key, field] of Object.entries(this.facts.observation)) {
      if (!(key in observation)) throw new Error(`There is no ${key}.`);
      feeds[field.input] = tensor(inputs[field.input], observation[key]);
    }
    const outputs = await this.session.run(feeds);
    for (const name of Object.keys(this.state)) {
      this.state[name] = outputs['next_' + name];
    }
    this.first = false;
    return Array.from(outputs.action.data, Number);
  }
}
