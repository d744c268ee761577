// The client program of Go's faktory/client and faktory_worker_go; ../README.md says what it must do.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	faktory "github.com/contribsys/faktory/client"
	worker "github.com/contribsys/faktory_worker_go"
)

type wantedJob struct {
	Jid        string         `json:"jid"`
	Jobtype    string         `json:"jobtype"`
	Args       []any          `json:"args"`
	Queue      string         `json:"queue"`
	Retry      *int           `json:"retry"`
	At         string         `json:"at"`
	Custom     map[string]any `json:"custom"`
	ReserveFor int            `json:"reserve_for"`
	// What the server reads in custom, set through the library's methods.
	UniqueFor   uint    `json:"unique_for"`
	UniqueUntil string  `json:"unique_until"`
	ExpiresIn   float64 `json:"expires_in"`
	Track       bool    `json:"track"`
}

type message struct {
	Jobs   []wantedJob       `json:"jobs"`
	Queues []string          `json:"queues"`
	Wid    string            `json:"wid"`
	Cmd    string            `json:"cmd"`
	Target faktory.Structure `json:"target"`
	Filter struct {
		Jids    []string `json:"jids"`
		Jobtype string   `json:"jobtype"`
		Regexp  string   `json:"regexp"`
	} `json:"filter"`
	Verb         string     `json:"verb"`
	Argument     string     `json:"argument"`
	Jid          string     `json:"jid"`
	Percent      int        `json:"percent"`
	Desc         string     `json:"desc"`
	ReserveUntil *time.Time `json:"reserve_until"`
	// A batch's.
	Description string     `json:"description"`
	Success     *wantedJob `json:"success"`
	Complete    *wantedJob `json:"complete"`
	Parent      string     `json:"parent"`
	Bulk        bool       `json:"bulk"`
	Open        bool       `json:"open"`
	Bid         string     `json:"bid"`
}

func say(fields map[string]any) {
	line, err := json.Marshal(fields)
	check(err)
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// open connects as FAKTORY_URL says; trusting a certificate of one's own takes a Server instead of Open.
func open() (*faktory.Client, error) {
	if !strings.HasPrefix(os.Getenv("FAKTORY_URL"), "tcp+tls") {
		return faktory.Open()
	}
	pem, err := os.ReadFile(os.Getenv("FAKTORY_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("FAKTORY_CA holds no certificate")
	}
	server := faktory.DefaultServer()
	if err := server.ReadFromEnv(); err != nil {
		return nil, err
	}
	server.TLS = &tls.Config{RootCAs: roots}
	return server.Open()
}

func build(wanted wantedJob) *faktory.Job {
	job := faktory.NewJob(wanted.Jobtype, wanted.Args...)
	job.Jid = wanted.Jid
	job.Queue = wanted.Queue
	job.Retry = wanted.Retry
	job.At = wanted.At
	job.Custom = wanted.Custom
	job.ReserveFor = wanted.ReserveFor
	if wanted.UniqueFor != 0 {
		job.SetUniqueFor(wanted.UniqueFor)
	}
	if wanted.UniqueUntil != "" {
		job.SetUniqueness(faktory.UniqueUntil(wanted.UniqueUntil))
	}
	if wanted.ExpiresIn != 0 {
		job.SetExpiresIn(time.Duration(wanted.ExpiresIn * float64(time.Second)))
	}
	if wanted.Track {
		job.SetCustom("track", 1)
	}
	return job
}

func bulk(cl *faktory.Client, wanted []wantedJob) {
	refused, err := cl.PushBulk(buildAll(wanted))
	check(err)
	say(map[string]any{"refused": refused})
}

func mutate(cl *faktory.Client, m message) error {
	filter := faktory.JobFilter{Jids: m.Filter.Jids, Jobtype: m.Filter.Jobtype, Regexp: m.Filter.Regexp}
	switch m.Cmd {
	case "clear":
		return cl.Clear(m.Target)
	case "kill":
		return cl.Kill(m.Target, filter)
	case "discard":
		return cl.Discard(m.Target, filter)
	case "requeue":
		return cl.Requeue(m.Target, filter)
	}
	return fmt.Errorf("unknown mutation %s", m.Cmd)
}

func register(mgr *worker.Manager, name string, perform func(help worker.Helper, args []any) error) {
	mgr.Register(name, func(ctx context.Context, args ...any) error {
		help := worker.HelperFor(ctx)
		line := map[string]any{"ran": help.Jid(), "jobtype": name, "args": args}
		tellBatch(line, help)
		say(line)
		return perform(help, args)
	})
}

func report(help worker.Helper, args []any) error {
	if err := help.TrackProgress(50, "half way", nil); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(args[0].(string)); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func work(m message) {
	mgr := worker.NewManager()
	mgr.Concurrency = 1
	mgr.ShutdownTimeout = 5 * time.Second
	mgr.ProcessWID = m.Wid
	register(mgr, "note", func(worker.Helper, []any) error { return nil })
	register(mgr, "boom", func(worker.Helper, []any) error { return errors.New("boom") })
	register(mgr, "report", report)
	register(mgr, "more", more)
	register(mgr, "flaky", func(_ worker.Helper, args []any) error {
		marker := args[0].(string)
		if _, err := os.Stat(marker); err == nil {
			return nil
		}
		check(os.WriteFile(marker, nil, 0o600))
		return errors.New("the first try")
	})
	mgr.On(worker.Shutdown, func(*worker.Manager) error {
		say(map[string]any{"stopped": true})
		return nil
	})
	mgr.ProcessStrictPriorityQueues(m.Queues...)
	pool, err := faktory.NewPoolWithClientConstructor(4, open)
	check(err)
	mgr.Pool = pool
	check(mgr.Run())
}

func main() {
	var m message
	if len(os.Args) > 2 {
		check(json.Unmarshal([]byte(os.Args[2]), &m))
	}
	if os.Args[1] == "work" {
		work(m)
		return
	}
	cl, err := open()
	check(err)
	defer cl.Close()
	switch os.Args[1] {
	case "push":
		for _, wanted := range m.Jobs {
			check(cl.Push(build(wanted)))
		}
		say(map[string]any{"pushed": len(m.Jobs)})
		return
	case "bulk":
		bulk(cl, m.Jobs)
		return
	case "info":
		state, err := cl.CurrentState()
		check(err)
		say(map[string]any{"info": state})
		return
	case "track":
		found, err := cl.TrackGet(m.Jid)
		check(err)
		say(map[string]any{"track": found})
		return
	case "line":
		reply, err := cl.Generic(m.Verb + " " + m.Argument)
		check(err)
		say(map[string]any{"reply": reply})
		return
	case "batch":
		check(makeBatch(cl, m))
		return
	case "batch_open":
		check(openBatch(cl, m))
		return
	case "batch_status":
		check(batchStatus(cl, m))
		return
	case "progress":
		check(cl.TrackSet(m.Jid, m.Percent, m.Desc, m.ReserveUntil))
	case "pause":
		check(cl.PauseQueues(m.Queues...))
	case "resume":
		check(cl.ResumeQueues(m.Queues...))
	case "remove":
		check(cl.RemoveQueues(m.Queues...))
	case "mutate":
		check(mutate(cl, m))
	default:
		check(fmt.Errorf("unknown command %s", os.Args[1]))
	}
	say(map[string]any{"done": true})
}
