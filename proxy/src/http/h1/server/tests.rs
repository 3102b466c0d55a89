//! What a connection costs while it waits.

use std::rc::Rc;

use mesh_lifecycle::tasks::Tasks;

use crate::config::{Limits, Timeouts};
use crate::http::h1::conn::Conn;
use crate::http::{Handler, Request, Response, ServerOptions};
use crate::net::Stream;

struct Large;

impl Handler for Large {
    async fn handle(self: Rc<Self>, _request: Request) -> Response {
        // Lives across the wait, so it is part of the future.
        let state = [0u8; 8 * 1024];
        std::future::pending::<()>().await;
        assert!(state.iter().all(|byte| *byte == 0));
        Response::new(http::StatusCode::OK)
    }
}

#[test]
fn a_connection_that_waits_is_small_however_large_its_handler_is() {
    let options =
        ServerOptions { timeouts: Timeouts::default(), limits: Limits::default(), tasks: Tasks::new() };
    let serving = super::serve(Stream::closed(), Rc::new(Large), &options);
    let size = size_of_val(&serving) + size_of::<Conn>();
    assert!(size <= 1536, "{size} bytes");
}
