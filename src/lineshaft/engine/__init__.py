"""The rules: a synchronous, deterministic state machine over an ordered store.

Here at the top is what every job passes: `engine` is the facade, `state` what it knows; `push`, `fetch` and `finish`
are the verbs of a job's life, with the steps that they share in `moves`; `ready`, `leases` and `timed` the places
where it can be; `keys`, `records` and `value` what is written of it, and `turn` what is about to be.

    features/   what a job may ask for: unique, expiring, tracked, batched; `feature` and `custom` are the way there
    lanes/      lanes of a queue
    admin/      what operators ask for, and the chores that it leaves
    agenda/     what comes due by itself
    search/     which jobs are meant, and how they are found
    stats/      what became of jobs
    views/      what can be looked at
    check/      what must be true of a store
"""
