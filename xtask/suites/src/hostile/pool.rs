//! No answer ever reaches another client than the one that asked: not after clients broke off at any byte, not with connections
//! to the upstream used again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use tokio::io::AsyncWriteExt as _;

use crate::bystander::plain;
use crate::report::{Outcome, Report, wanted};
use crate::way::{Speaks, Way};

const OFFSETS: usize = 50;
const CLIENTS: usize = 20;
const REQUESTS: usize = 50;
const LIMIT: Duration = Duration::from_mins(1);

pub(super) async fn run(way: &Way, names: &[String], report: &mut Report) {
    let name = "pool clients-break-off";
    if wanted(names, name) {
        let expected = "each of 1,000 tagged answers reaches the client that asked";
        let sent = "50 requests that break off at 50 different bytes, beside 20 clients with 50 tagged requests each";
        let outcome = tagged(way).await;
        report.row(&way.name, name, sent, expected, &outcome);
    }
}

async fn tagged(way: &Way) -> Outcome {
    let tasks = Tasks::new();
    let (fine, wrong) = (Rc::new(Cell::new(0_usize)), Rc::new(std::cell::RefCell::new(None)));
    for client in 0..CLIENTS {
        let (way, fine, wrong) = (way.clone(), Rc::clone(&fine), Rc::clone(&wrong));
        tasks.spawn_local("tagged client", async move {
            if let Err(why) = asks(&way, client, &fine).await {
                *wrong.borrow_mut() = Some(why);
            }
        });
    }
    for offset in 0..OFFSETS {
        if let Err(why) = break_off(way, offset).await {
            *wrong.borrow_mut() = Some(why);
        }
    }
    tasks.shutdown(LIMIT).await;
    let wrong = wrong.take();
    match wrong {
        None if fine.get() == CLIENTS * REQUESTS => Outcome::passed(format!("{} answers", fine.get())),
        None => Outcome::failed(format!("only {} of {} answers came", fine.get(), CLIENTS * REQUESTS)),
        Some(why) => Outcome::failed(why),
    }
}

async fn asks(way: &Way, client: usize, fine: &Cell<usize>) -> Result<(), String> {
    let mut stream = way.connect(Speaks::Http1).await.map_err(|error| format!("{error:#}"))?;
    for number in 0..REQUESTS {
        plain(&mut stream, &way.host, &format!("client-{client}-{number}")).await?;
        fine.set(fine.get() + 1);
    }
    Ok(())
}

/// Sends a part of a request and goes away.
async fn break_off(way: &Way, offset: usize) -> Result<(), String> {
    let request = format!(
        "POST /break-off HTTP/1.1\r\nhost: {}\r\nx-suites: 1\r\nx-tag: broken-{offset}\r\ncontent-length: 40\r\n\r\n{}",
        way.host,
        "b".repeat(40)
    );
    let part = request.as_bytes().get(..request.len() * (offset + 1) / OFFSETS).unwrap_or_default();
    let mut stream = way.connect(Speaks::Http1).await.map_err(|error| format!("{error:#}"))?;
    // A proxy that closes first has refused the part; that is fine.
    let _ = stream.write_all(part).await;
    Ok(())
}
