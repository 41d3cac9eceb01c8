"""Benchmarks of kernels, whole steps, starts and memory, beside a peer where one is asked for: `tomograd bench`.

- `convolutions`, `operations` and `networks` say what is measured; `engine_tomograd` and `engine_torch` make it run;
- `ceilings` holds the two kernels that measure the machine's own limits;
- `worker` is a process that runs cases on demand, `probe` one that starts, does one thing and ends; `processes` is the
  side that talks to them;
- `suite` measures, `results` keeps what was measured and computes from it, `tables`, `page` and `drawing` show it.
"""
