"""The pages in Flower: health, jobs, a job, and what is upcoming.

install         adds the pages and our metrics to Flower
handlers        answers requests for pages, away from Flower's event loop
posts           answers requests for actions, and notes who made them
context         what all pages share
actions         the actions of people, on one job or on many
live            tells open tabs that something has changed
index           what pages filter jobs by, kept in memory
facts           what the health page shows, read from Redis
survey          the slow part of it: audit, doctor's checks, missed ticks
surveyed        what a survey found
beside          a process that makes the survey and the forecast, so that Flower answers meanwhile
keepers         has them made again when it is time
forecast        how many ticks fall into each minute of the next day
job_facts       what the page of a job shows
words           times and statuses as the templates write them (pure)
causes          groups failures by their cause (pure)
sentence        the one sentence about everything (pure)
charts          the shapes of strips, bars and the heat map (pure)
task_marks      marks failed runs in Flower's own list of tasks (pure)
templates/      how it looks; `static/` has the style sheet and the script
"""
