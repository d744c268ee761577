//! The commands about batches, and the handler that adds a job to its own one.

use std::io;

use faktory::ent::{Batch, BatchHandle, BatchId, BatchStatus, CallbackState};
use faktory::{Client, Job};
use serde_json::{json, Value};

use crate::{build, connect, Message, Outcome, WantedJob};

/// Push the jobs into a batch, and commit it; without the commit it stays open.
async fn fill(mut batch: BatchHandle<'_>, jobs: Vec<WantedJob>, open: bool) -> Outcome<Value> {
    let bid = batch.id().to_string();
    for wanted in jobs {
        batch.add(build(wanted)).await?;
    }
    if !open {
        batch.commit().await?;
    }
    Ok(json!({"bid": bid}))
}

pub async fn make(client: &mut Client, message: Message) -> Outcome<Value> {
    let mut builder = Batch::builder();
    if let Some(description) = message.description {
        builder = builder.description(description);
    }
    let batch = match (message.success.map(build), message.complete.map(build)) {
        (Some(success), Some(complete)) => builder.with_callbacks(success, complete),
        (Some(success), None) => builder.with_success_callback(success),
        (None, Some(complete)) => builder.with_complete_callback(complete),
        (None, None) => return Err("the crate has no batch without a callback".into()),
    };
    let Some(parent) = message.parent else {
        let batch = client.start_batch(batch).await?;
        return fill(batch, message.jobs, message.open).await;
    };
    // The crate names the parent itself, so that one must be open.
    let mut parent = client
        .open_batch(BatchId::new(parent))
        .await?
        .ok_or("no such parent")?;
    let child = parent.start_batch(batch).await?;
    fill(child, message.jobs, message.open).await
}

pub async fn open(client: &mut Client, message: Message) -> Outcome<Value> {
    match client.open_batch(BatchId::new(message.bid)).await? {
        Some(batch) => fill(batch, message.jobs, false).await,
        None => Ok(json!({"bid": null})),
    }
}

pub async fn status(client: &mut Client, message: Message) -> Outcome<Value> {
    let found = client.get_batch_status(BatchId::new(message.bid)).await?;
    Ok(json!({"status": found.map(shown)}))
}

/// What the crate understood, under the names of the protocol.
fn shown(it: BatchStatus) -> Value {
    let state = |state: CallbackState| match state {
        CallbackState::Pending => "",
        CallbackState::Enqueued => "1",
        CallbackState::FinishedOk => "2",
        _ => "?",
    };
    json!({
        "bid": it.bid, "parent_bid": it.parent_bid, "description": it.description,
        "created_at": it.created_at.to_rfc3339(), "total": it.total, "pending": it.pending, "failed": it.failed,
        "complete_st": state(it.complete_callback_state), "success_st": state(it.success_callback_state),
    })
}

/// Add a job to the batch of the job that runs.
async fn add_one(address: &str, job: &Job) -> Outcome<()> {
    let bid = job.custom["bid"].as_str().ok_or("it has no batch")?;
    let queue = job.args()[0].as_str().ok_or("it has no queue")?;
    let mut client = connect(address).await?;
    let mut batch = client
        .open_batch(BatchId::new(bid))
        .await?
        .ok_or("no such batch")?;
    let added = Job::builder("note").queue(queue).args(["more"]).build();
    batch.add(added).await?;
    batch.commit().await?;
    Ok(())
}

/// The same, failing as a handler does.
pub async fn more(address: &str, job: &Job) -> io::Result<()> {
    add_one(address, job)
        .await
        .map_err(|error| io::Error::other(error.to_string()))
}
