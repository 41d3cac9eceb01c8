"""Benchmarks of kernels, whole steps, starts and memory, beside a peer where one is asked for: `tomograd bench`.

- `convolutions`, `operations`, `recurrences` and `networks` say what is measured; `engine_tomograd` and `engine_torch`
  (on a GPU with `engine_torch_gpu`) make it run;
- `ceilings` holds the two kernels that measure the machine's own limits; `gpu` those of a GPU, `timing` its clock;
- `worker` is a process that runs cases on demand, `probe` one that starts, does one thing and ends; `processes` is the
  side that talks to them;
- `suite` measures, `results` keeps what was measured and computes from it, `targets` holds it against what was wanted,
  `tables`, `page` and `drawing` show it, `record` makes a file of a GPU's results;
- `predictions` says what CUDA kernels should take, from launches that `recording` notes.
"""
