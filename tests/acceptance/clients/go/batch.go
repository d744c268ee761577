// The commands about batches, and the handler that adds a job to its own one.
package main

import (
	"fmt"

	faktory "github.com/contribsys/faktory/client"
	worker "github.com/contribsys/faktory_worker_go"
)

func buildAll(wanted []wantedJob) []*faktory.Job {
	jobs := []*faktory.Job{}
	for _, one := range wanted {
		jobs = append(jobs, build(one))
	}
	return jobs
}

func fill(batch *faktory.Batch, m message) error {
	jobs := buildAll(m.Jobs)
	if m.Bulk {
		refused, err := batch.PushBulk(jobs)
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("refused: %v", refused)
		}
		return err
	}
	for _, job := range jobs {
		if err := batch.Push(job); err != nil {
			return err
		}
	}
	return nil
}

func makeBatch(cl *faktory.Client, m message) error {
	batch := faktory.NewBatch(cl)
	batch.Description = m.Description
	batch.ParentBid = m.Parent
	if m.Success != nil {
		batch.Success = build(*m.Success)
	}
	if m.Complete != nil {
		batch.Complete = build(*m.Complete)
	}
	// Jobs makes the batch, and commits it at its end.
	if !m.Open {
		if err := batch.Jobs(func() error { return fill(batch, m) }); err != nil {
			return err
		}
	} else if made, err := cl.BatchNew(batch); err != nil {
		return err
	} else if err := fill(made, m); err != nil {
		return err
	}
	say(map[string]any{"bid": batch.Bid})
	return nil
}

func openBatch(cl *faktory.Client, m message) error {
	batch, err := cl.BatchOpen(m.Bid)
	if err != nil {
		return err
	}
	if err := fill(batch, m); err != nil {
		return err
	}
	if err := batch.Commit(); err != nil {
		return err
	}
	say(map[string]any{"bid": batch.Bid})
	return nil
}

func batchStatus(cl *faktory.Client, m message) error {
	found, err := cl.BatchStatus(m.Bid)
	if err != nil {
		return err
	}
	say(map[string]any{"status": found})
	return nil
}

// tellBatch adds to what a handler says which batch its job belongs to, or tells of.
func tellBatch(line map[string]any, help worker.Helper) {
	if bid := help.Bid(); bid != "" {
		line["bid"] = bid
	}
	if bid := help.CallbackBid(); bid != "" {
		line["_bid"] = bid
	}
}

func more(help worker.Helper, args []any) error {
	return help.Batch(func(batch *faktory.Batch) error {
		job := faktory.NewJob("note", "more")
		job.Queue = args[0].(string)
		return batch.Push(job)
	})
}
