"""Run the whole system on this machine (`cron-tasks up`), each part as a process of its own.

system    starts all parts in order, watches them, and stops them in order
parts     which parts there are, and how each is started
child     one part as a supervised child process
narrator  what a person sees of them
run_feed  the runs that a person sees as they end
home      the data folder, and the guard that outlives `up`
guard     kills what is left when `up` itself was killed
private   files that only this user may read
"""
