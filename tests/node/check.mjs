// One line for each thing that holds; the first that does not ends the process with a failure.
//
// Works in Node and in a browser's page: nothing here needs either.

/** How long anything may take before it counts as not having happened. */
export const PATIENCE_MS = 15_000;

/** Runs one scenario and reports its name, or throws with the name in front. */
export async function check(report, name, scenario) {
  const started = Date.now();
  try {
    await within(scenario(), "the scenario to end", 2 * PATIENCE_MS);
  } catch (error) {
    throw new Error(`${name}: ${error.message ?? error}`, { cause: error });
  }
  report(`ok ${name} (${Date.now() - started} ms)`);
}

/** The promise's value, or an error that says what was waited for. */
export async function within(promise, what, milliseconds = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Throws unless both are the same, compared as JSON. */
export function same(actual, expected, what = "value") {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: got ${left}, expected ${right}`);
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Ends a Node script: status 0 after `main`, 1 and the reason when it throws. */
export function runAsScript(main) {
  main().then(
    () => process.exit(0),
    (error) => {
      console.error(`FAILED ${error.stack ?? error}`);
      process.exit(1);
    },
  );
}
