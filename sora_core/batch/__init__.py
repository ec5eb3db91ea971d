"""Many jobs from one file: read and planned, made here or on a Ray cluster, recorded so that none is made twice.

reading    the lines of a BATCH.jsonl, with ranges and grids expanded
tasks      what a line may ask for, and with which settings
jobs       a line as a job, whose name is the hash of what makes it
planning   how many jobs there are, and what they will take
work       one job, made: the same function here and on every worker
records    what is finished, written so that a killed process loses nothing
here       all jobs in this process
cluster    all jobs on a Ray cluster; `workers` is what runs there, `handshake` looks at them beforehand
results    results.jsonl, a contact sheet, and a page to look through
"""
