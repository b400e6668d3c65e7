// dreamerv2_tfa/environments/catch.py once more, one game of it, and pixel for
// pixel: see tests/browser_test.py.

const CELLS = 10;       // rows and columns of the grid
const FALL = CELLS - 1; // steps from the top row to the bottom row
export const SIZE = 64; // pixels, height and width of an image
const CELL_SIZE = 6;    // pixels
const MARGIN = 2;       // pixels of background around the grid
const BACKGROUND = 64;  // grey levels
const PADDLE = 160;
const BALL = 255;

/** A column for the next ball, each as likely as the others. */
export const drawColumn = () => Math.floor(Math.random() * CELLS);

/**
 * Balls fall one after another, a row a step; the paddle moves a column a step.
 * A ball that lands is +1 on the paddle and -1 beside it. An episode has
 * 9 * balls steps.
 */
export class Catch {
  /**
   * Makes a game; `reset` starts each episode, the first one too.
   *
   * @param {object} options `nextColumn`, what gives the column, 0 to 9, of a
   *   ball; `balls` an episode; `paddleWidth` in columns.
   */
  constructor({nextColumn = drawColumn, balls = 5, paddleWidth = 2} = {}) {
    this.nextColumn = nextColumn;
    this.lastStep = FALL * balls;
    this.paddleWidth = paddleWidth;
    this.rightmost = CELLS - paddleWidth;
    this.landed = -1; // column of the ball before the one in the air
  }

  /** Starts an episode; returns what is seen, see `look`. */
  reset() {
    this.steps = 0;
    this.paddle = Math.floor(this.rightmost / 2); // its leftmost column
    this.falling = this.nextColumn(); // column of the ball in the air
    return this.look();
  }

  /**
   * Plays a step of an episode that is not over.
   *
   * @param {number} action 0 left, 1 stay, 2 right; another is the nearest.
   * @return {object} What is seen, see `look`.
   */
  step(action) {
    const move = clip(action, 0, 2) - 1;
    this.steps += 1;
    this.paddle = clip(this.paddle + move, 0, this.rightmost);
    this.landed = this.falling;
    const over = this.steps === this.lastStep;
    if (this.steps % FALL === 0 && !over) this.falling = this.nextColumn();
    return this.look();
  }

  /**
   * What is seen of the present state.
   *
   * @return {object} `image`, Uint8Array of 64 * 64 grey levels, row by row;
   *   `reward` of the step that led here; `last`, whether the episode is over.
   */
  look() {
    const first = this.steps === 0;
    const last = this.steps === this.lastStep;
    const lands = this.steps % FALL === 0 && !first;
    const beside = this.landed - this.paddle;
    const caught = beside >= 0 && beside < this.paddleWidth;
    const image = new Uint8Array(SIZE * SIZE).fill(BACKGROUND);
    for (let i = 0; i < this.paddleWidth; i++) {
      paint(image, FALL, this.paddle + i, PADDLE);
    }
    if (!last) paint(image, this.steps % FALL, this.falling, BALL);
    if (lands) paint(image, FALL, this.landed, BALL);
    return {image, reward: lands ? (caught ? 1 : -1) : 0, last};
  }
}

const clip = (x, low, high) => Math.min(Math.max(x, low), high);

/** Fills a cell of the grid with a grey level. */
function paint(image, row, column, level) {
  const left = MARGIN + column * CELL_SIZE;
  for (let y = 0; y < CELL_SIZE; y++) {
    const start = (MARGIN + row * CELL_SIZE + y) * SIZE + left;
    image.fill(level, start, start + CELL_SIZE);
  }
}
