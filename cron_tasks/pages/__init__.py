"""The pages in Flower: health, jobs, a job, and upcoming runs.

install         adds the pages and our metrics to Flower
handlers        answers requests for pages, outside Flower's event loop
posts           answers requests for actions, and records who made them
context         the objects that all pages share
actions         the actions of people, on one job or on many
live            notifies open tabs about changes
index           the fields by which pages filter jobs, kept in memory
facts           the data of the health page, read from Redis
survey          makes the slow part of these data: audit, doctor's checks, missed ticks
surveyed        the results of a survey
beside          a process that makes the survey and the forecast, so that Flower stays responsive
keepers         makes both again when it is time
forecast        the number of ticks in each minute of the next day
job_facts       the data of the page of a job
words           times and statuses for the templates (pure)
causes          groups failures by their cause (pure)
sentence        the one sentence about the whole system (pure)
charts          the shapes of strips, bars and the heat map (pure)
task_marks      marks failed runs in Flower's own list of tasks (pure)
templates/      the layout. `static/` has the style sheet and the script
"""
