'use strict';
// Draws the charts of the JSON in #data, each into the element of its id.
const told = JSON.parse(document.getElementById('data').textContent);
const HEIGHT = 220;
const COLOURS = 6;
const style = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const compact = new Intl.NumberFormat(
  'en', {notation: 'compact', maximumSignificantDigits: 4});
const number = (x) => {
  if (x === null || x === undefined) return '–';
  const small = x !== 0 && Math.abs(x) < 1e-3;
  return small || Math.abs(x) >= 1e15 ? x.toExponential(2) : compact.format(x);
};

const guideStyle = () => ({
  stroke: style('--mean'), width: 1.5, dash: [4, 4], points: {show: false}});

function lines(chart) {
  const found = chart.lines.map(({run, label, xs, ys, guide}) => ({
    data: [xs, ys], label,
    ...(guide ? guideStyle() : {
      stroke: style(`--line-${run % COLOURS}`),
      dash: run < COLOURS ? undefined : [6, 4],
      width: 2,
    }),
  }));
  if (!chart.published) return found;
  const {xs, mean, low, high} = chart.published;
  const edge = {stroke: 'transparent', width: 0, points: {show: false}};
  return [
    ...found,
    {...edge, data: [xs, high], label: 'highest published seed'},
    {...edge, data: [xs, low], label: 'lowest published seed'},
    {data: [xs, mean], label: 'mean of published seeds', ...guideStyle()},
  ];
}

// Between ticks of what is counted; no step is half a step.
const WHOLE = Array.from({length: 15}, (_, e) => [1, 2, 5].map((x) => x * 10 ** e))
  .flat();

function draw(chart) {
  const place = document.getElementById(chart.id);
  const all = lines(chart);
  const axis = {
    stroke: style('--soft'), values: (_, ticks) => ticks.map(number),
    grid: {stroke: style('--grid'), width: 1},
    ticks: {stroke: style('--grid'), width: 1},
  };
  const counted = chart.lines.every(({xs}) => xs.every(Number.isInteger));
  const below = counted ? {incrs: WHOLE} : {};
  const bands = chart.published ?
    [{series: [all.length - 2, all.length - 1], fill: style('--band')}] : [];
  const plot = new uPlot({
    width: place.clientWidth, height: HEIGHT, bands,
    scales: {x: {time: false}},
    axes: [
      {...axis, ...below, space: 60, size: 34, label: chart.x, labelSize: 18},
      {...axis, size: 60}],
    cursor: {sync: {key: chart.x}, drag: {x: true, y: false}},
    series: [
      {label: chart.x, value: (_, x) => number(x)},
      ...all.map(({data, ...line}) => (
        {spanGaps: true, value: (_, y) => number(y), ...line})),
    ],
  }, uPlot.join(all.map(({data}) => data)), place);
  const canvas = plot.root.querySelector('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', chart.described);
  return {place, plot};
}

let drawn = [];
const drawAll = () => {
  drawn.forEach(({plot}) => plot.destroy());
  drawn = told.map(draw);
};
drawAll();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
new ResizeObserver(() => drawn.forEach(({place, plot}) => {
  const width = place.clientWidth;
  if (width !== plot.width) plot.setSize({width, height: HEIGHT});
})).observe(document.body);
