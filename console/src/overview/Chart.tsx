import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { when } from '../lib/format';
import { stack } from './stack';

export interface ChartLine {
  name: string;
  values: (number | null)[];
  /** Name of a colour in the style sheet. */
  color: string;
}

interface Props {
  title: string;
  /** What the chart says, for those who do not see it. */
  summary: string;
  /** When each part of the time begins, and when the last one ends, in seconds since the epoch. */
  times: number[];
  until: number;
  lines: ChartLine[];
  /** Bars on top of each other, or lines. */
  kind: 'stacked' | 'lines';
  format: (value: number | null | undefined) => string;
  /** Called with the index of a part of the time. */
  onPick: (index: number) => void;
}

const HEIGHT = 160;

const two = (value: number) => String(value).padStart(2, '0');

/** A time on the axis: the clock, or the date where the steps are days. */
function label(at: number, step: number): string {
  const date = new Date(at * 1000);
  return step >= 86_400 ? `${two(date.getMonth() + 1)}-${two(date.getDate())}` : `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Where a value has no neighbour. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  for (let index = 0; index < values.length; index++)
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) found.push(index);
  return found;
}

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A chart over time; a click leads to the calls of that moment. */
export function Chart({ title, summary, times, until, lines, kind, format, onPick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const [theme, setTheme] = useState(0);
  const pick = useRef(onPick);
  pick.current = onPick;
  const ends = useRef<[number, number]>([0, 1]);
  ends.current = [times[0] ?? 0, until];
  const names = lines.map((line) => line.name + line.color).join();

  useEffect(() => {
    const listener = () => setTheme((theme) => theme + 1);
    addEventListener('theme', listener);
    return () => removeEventListener('theme', listener);
  }, []);

  // Stacked bars are drawn the largest sum first, so that each next one leaves only its part to be seen.
  const drawn = kind === 'stacked' ? stack(lines.map((line) => line.values.map((value) => value ?? 0))).reverse() : lines.map((line) => line.values);
  const data = [times, ...drawn] as uPlot.AlignedData;

  useEffect(() => {
    const element = box.current!;
    const axis = { stroke: css('muted'), grid: { stroke: css('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    const ordered = kind === 'stacked' ? [...lines].reverse() : lines;
    const bars = uPlot.paths.bars!({ size: [0.86, 40], align: 1, gap: 1 });
    const line = uPlot.paths.linear!();
    const chart = new uPlot(
      {
        width: Math.max(element.clientWidth, 200),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: kind === 'lines' } },
        scales: { x: { time: true, range: () => ends.current }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
        axes: [{ ...axis, space: 70, size: 26, values: (_, splits, __, ___, step) => splits.map((at) => label(at, step)) }, { ...axis, size: 64, values: (_, values) => values.map((value) => format(value)) }],
        series: [
          {},
          ...ordered.map((one) => ({
            label: one.name,
            stroke: css(one.color),
            fill: kind === 'stacked' ? css(one.color) : undefined,
            width: kind === 'stacked' ? 0 : 1.5,
            paths: kind === 'stacked' ? bars : line,
            // A value with nothing on either side is no line.
            points: { show: kind === 'lines', size: 4, fill: css(one.color), filter: (chart: uPlot, index: number) => alone(chart.data[index]!) },
          })),
        ],
        hooks: { setCursor: [(chart) => setAt(chart.cursor.idx ?? null)] },
      },
      data,
      element,
    );
    plot.current = chart;
    chart.over.addEventListener('click', () => {
      if (chart.cursor.idx != null) pick.current(chart.cursor.idx);
    });
    const observer = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 200), height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [names, kind, theme]);

  useEffect(() => plot.current?.setData(data), [times, lines]);

  return (
    <figure class="chart">
      <figcaption>
        <h2>{title}</h2>
        <span class="quiet">{at != null && times[at] != null ? when(new Date(times[at]! * 1000).toISOString()) : ''}</span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${title}: ${summary}`} />
      <ul class="legend">
        {lines.map((line) => (
          <li key={line.name}>
            <span aria-hidden="true" class={`swatch ${line.color}`} />
            <bdi>{line.name}</bdi>
            <span class="number">{at != null ? format(line.values[at]) : ''}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}
