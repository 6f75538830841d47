// `node --import` of this: a process whose wall clock can be set while it runs. At SIGUSR2 it is set by as many milliseconds as
// the file CLOCK_FILE says. Kernel, monotonic clock and timers go on, as they do where a machine's clock is set.

import { readFileSync } from 'node:fs';

const real = Date.now;
let offset = 0;

Date.now = () => real() + offset;
globalThis.Date = new Proxy(Date, {
  construct: (target, args: readonly unknown[], proxy: NewableFunction): object =>
    Reflect.construct(target, args.length === 0 ? [target.now()] : args, proxy) as object,
});

process.on('SIGUSR2', () => {
  offset += Number(readFileSync(process.env['CLOCK_FILE'] ?? '', 'utf8'));
});
