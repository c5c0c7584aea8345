"""Run the whole system on this machine (`cron-tasks up`), each part as a separate process.

system    starts all parts in order, watches them, and stops them in order
parts     the parts, and how each is started
child     one part as a supervised child process
narrator  the lines that a person sees
run_feed  the runs that a person sees as they end
home      the data folder, and the guard that outlives `up`
guard     kills the remaining processes if `up` itself was killed
private   files that only this user may read
"""
