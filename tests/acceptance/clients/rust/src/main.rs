//! The client program of the crate `faktory` with its feature `ent`; ../README.md says what it must do.

mod batch;

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use faktory::ent::{Progress, ProgressUpdate};
use faktory::mutate::{Filter, JobSet};
use faktory::rustls::TlsStream;
use faktory::{Client, Job, JobId, Worker, WorkerId};
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
struct WantedJob {
    jid: String,
    jobtype: String,
    args: Vec<Value>,
    queue: String,
    retry: isize,
    at: Option<DateTime<Utc>>,
    #[serde(default)]
    custom: HashMap<String, Value>,
    reserve_for: Option<u64>,
    // What the server reads in `custom`, set through the crate's methods.
    unique_for: Option<usize>,
    unique_until: Option<String>,
    expires_in: Option<f64>,
    #[serde(default)]
    track: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WantedFilter {
    jids: Vec<String>,
    jobtype: Option<String>,
    regexp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    jobs: Vec<WantedJob>,
    queues: Vec<String>,
    wid: String,
    cmd: String,
    target: String,
    filter: WantedFilter,
    jid: String,
    percent: Option<u8>,
    desc: Option<String>,
    reserve_until: Option<DateTime<Utc>>,
    // A batch's.
    description: Option<String>,
    success: Option<WantedJob>,
    complete: Option<WantedJob>,
    parent: Option<String>,
    open: bool,
    bid: String,
}

fn say(fields: Value) {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{fields}").expect("stdout is open");
    stdout.flush().expect("stdout is open");
}

fn build(wanted: WantedJob) -> Job {
    let mut builder = Job::builder(wanted.jobtype);
    builder
        .jid(JobId::new(wanted.jid))
        .queue(wanted.queue)
        .args(wanted.args)
        .retry(wanted.retry)
        .custom(wanted.custom);
    if let Some(at) = wanted.at {
        builder.at(at);
    }
    if let Some(seconds) = wanted.reserve_for {
        builder.reserve_for(Duration::from_secs(seconds));
    }
    if let Some(seconds) = wanted.unique_for {
        builder.unique_for(seconds);
    }
    match wanted.unique_until.as_deref() {
        Some("start") => builder.unique_until_start(),
        Some(_) => builder.unique_until_success(),
        None => &mut builder,
    };
    if let Some(seconds) = wanted.expires_in {
        builder.expires_in(chrono::Duration::milliseconds((seconds * 1000.0) as i64));
    }
    let mut job = builder.build();
    // With the feature `ent` the crate tracks every job unless it is told not to.
    if !wanted.track {
        job.custom.remove("track");
    }
    job
}

/// The crate's TLS stream wants a URL that begins with `tcp:`, and the password beside it.
async fn secured(address: &str) -> Outcome<(BufStream<TlsStream<TcpStream>>, Option<String>)> {
    let plain = address.replacen("tcp+tls:", "tcp:", 1);
    let pem = std::fs::read(std::env::var("FAKTORY_CA")?)?;
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut pem.as_slice()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder()
        .with_root_certificates(Arc::new(roots))
        .with_no_client_auth();
    let stream = TlsStream::with_client_config(config, Some(&plain)).await?;
    let password = url::Url::parse(&plain)?.password().map(str::to_owned);
    Ok((BufStream::new(stream), password))
}

async fn connect(address: &str) -> Outcome<Client> {
    if address.starts_with("tcp+tls:") {
        let (stream, password) = secured(address).await?;
        return Ok(Client::connect_with(stream, password).await?);
    }
    Ok(Client::connect().await?)
}

fn job_set(target: &str) -> Outcome<JobSet> {
    match target {
        "scheduled" => Ok(JobSet::Scheduled),
        "retries" => Ok(JobSet::Retries),
        "dead" => Ok(JobSet::Dead),
        _ => Err(format!("unknown target {target}").into()),
    }
}

async fn mutate(client: &mut Client, message: Message) -> Outcome<()> {
    let target = job_set(&message.target)?;
    let wanted = message.filter;
    let ids: Vec<JobId> = wanted.jids.into_iter().map(JobId::new).collect();
    let ids: Vec<&JobId> = ids.iter().collect();
    let filter = match (&wanted.jobtype, &wanted.regexp) {
        _ if !ids.is_empty() => Filter::from_ids(&ids),
        (Some(kind), Some(pattern)) => Filter::from_kind_and_pattern(kind, pattern),
        (Some(kind), None) => Filter::from_kind(kind),
        (None, Some(pattern)) => Filter::from_pattern(pattern),
        (None, None) => Filter::empty(),
    };
    match message.cmd.as_str() {
        "clear" => client.clear(target).await?,
        "kill" => client.kill(target, &filter).await?,
        "discard" => client.discard(target, &filter).await?,
        "requeue" => client.requeue(target, &filter).await?,
        other => return Err(format!("unknown mutation {other}").into()),
    }
    Ok(())
}

fn tell(job: &Job) {
    let mut line = json!({"ran": job.id(), "jobtype": job.kind(), "args": job.args()});
    for key in ["bid", "_bid"] {
        if let Some(bid) = job.custom.get(key) {
            line[key] = bid.clone();
        }
    }
    say(line);
}

fn fail_once(job: &Job) -> io::Result<()> {
    let marker = Path::new(job.args()[0].as_str().expect("the name of a file"));
    if marker.exists() {
        return Ok(());
    }
    std::fs::write(marker, "")?;
    Err(io::Error::other("the first try"))
}

async fn report(address: &str, job: &Job) -> io::Result<()> {
    let marker = Path::new(job.args()[0].as_str().expect("the name of a file"));
    let mut client = connect(address).await.map_err(|e| io::Error::other(e.to_string()))?;
    let progress = ProgressUpdate::builder(job.id().clone())
        .percent(50)
        .desc("half way".to_owned())
        .build();
    client.set_progress(progress).await.map_err(io::Error::other)?;
    while !marker.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn progress(client: &mut Client, message: Message) -> Outcome<()> {
    let mut update = ProgressUpdate::builder(JobId::new(message.jid));
    if let Some(percent) = message.percent {
        update.percent(percent);
    }
    if let Some(desc) = message.desc {
        update.desc(desc);
    }
    if let Some(until) = message.reserve_until {
        update.reserve_until(until);
    }
    Ok(client.set_progress(update.build()).await?)
}

/// What the crate understood, under the names of the protocol.
fn shown(found: Option<Progress>) -> Value {
    found.map_or(Value::Null, |it| {
        json!({
            "jid": it.jid, "state": it.state.to_string(), "percent": it.percent, "desc": it.desc,
            "updated_at": it.updated_at.map(|at| at.to_rfc3339()),
        })
    })
}

async fn work(address: &str, message: Message) -> Outcome<()> {
    let builder = Worker::builder()
        .wid(WorkerId::new(message.wid))
        .workers(1)
        .register_fn("note", |job: Job| async move {
            tell(&job);
            Ok::<(), io::Error>(())
        })
        .register_fn("boom", |job: Job| async move {
            tell(&job);
            Err(io::Error::other("boom"))
        })
        .register_fn("flaky", |job: Job| async move {
            tell(&job);
            fail_once(&job)
        })
        .register_fn("more", {
            let address = address.to_owned();
            move |job: Job| {
                let address = address.clone();
                async move {
                    tell(&job);
                    batch::more(&address, &job).await
                }
            }
        })
        .register_fn("report", {
            let address = address.to_owned();
            move |job: Job| {
                let address = address.clone();
                async move {
                    tell(&job);
                    report(&address, &job).await
                }
            }
        });
    let mut worker = if address.starts_with("tcp+tls:") {
        let (stream, password) = secured(address).await?;
        builder.connect_with(stream, password).await?
    } else {
        builder.connect().await?
    };
    worker.run(&message.queues).await?;
    say(json!({"stopped": true}));
    Ok(())
}

async fn command(name: &str, client: &mut Client, message: Message) -> Outcome<Value> {
    match name {
        "push" => {
            let count = message.jobs.len();
            for wanted in message.jobs {
                client.enqueue(build(wanted)).await?;
            }
            return Ok(json!({"pushed": count}));
        }
        "bulk" => {
            let jobs: Vec<Job> = message.jobs.into_iter().map(build).collect();
            let (_, refused) = client.enqueue_many(jobs).await?;
            return Ok(json!({"refused": refused.unwrap_or_default()}));
        }
        "track" => {
            let found = client.get_progress(JobId::new(message.jid)).await?;
            return Ok(json!({"track": shown(found)}));
        }
        "batch" => return batch::make(client, message).await,
        "batch_open" => return batch::open(client, message).await,
        "batch_status" => return batch::status(client, message).await,
        "progress" => progress(client, message).await?,
        "info" => return Ok(json!({"info": client.current_info().await?})),
        "pause" => client.queue_pause(&message.queues).await?,
        "resume" => client.queue_resume(&message.queues).await?,
        "remove" => client.queue_remove(&message.queues).await?,
        "mutate" => mutate(client, message).await?,
        other => return Err(format!("unknown command {other}").into()),
    }
    Ok(json!({"done": true}))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let address = std::env::var("FAKTORY_URL")?;
    let arguments: Vec<String> = std::env::args().collect();
    let message: Message = serde_json::from_str(arguments.get(2).map_or("{}", String::as_str))?;
    if arguments[1] == "work" {
        return work(&address, message).await;
    }
    let mut client = connect(&address).await?;
    say(command(&arguments[1], &mut client, message).await?);
    Ok(())
}
