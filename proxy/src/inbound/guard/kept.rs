//! What of a request's head rules may ask for after the head has gone on its way: a policy may come while the request is answered. It must not
//! know verdicts.
//!
//! Nearly always nothing comes, and on most workloads no policy is there at all, so keeping it must cost next to nothing: the texts are copied
//! into one buffer that the thread uses again and again, instead of one allocation each and a shared count of the head's own bytes.

use std::cell::RefCell;

use http::Method;
use mesh_model::head::HeadView;

use crate::http::{Form, Headers, RequestHead};

/// Buffers of a thread that wait to be used again, and the largest that is kept.
const SPARE: (usize, usize) = (64, 2048);

thread_local! {
    static BUFFERS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A request's method, path, query and authority, and its headers where some rule asks for them.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    method: Method,
    form: Form,
    /// Path, query, authority.
    texts: Texts,
    path_end: usize,
    query_end: Option<usize>,
    /// Kept only where some rule asked for headers, or for claims that came with them.
    headers: Option<Headers>,
}

impl Kept {
    pub(super) fn of(head: &RequestHead, needs_headers: bool) -> Self {
        let mut texts = Texts::empty();
        let text = &mut texts.0;
        text.push_str(head.target.path());
        let path_end = text.len();
        let query_end = head.target.query().map(|query| {
            text.push_str(query);
            text.len()
        });
        text.push_str(&head.authority);
        let headers = needs_headers.then(|| head.headers.clone());
        Self { method: head.method.clone(), form: head.form, texts, path_end, query_end, headers }
    }

    pub(super) fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    fn authority_as_sent(&self) -> &str {
        self.text(self.query_end.unwrap_or(self.path_end), self.texts.0.len())
    }

    /// The ends are those of whole texts.
    fn text(&self, from: usize, to: usize) -> &str {
        self.texts.0.get(from..to).unwrap_or_default()
    }
}

impl HeadView for Kept {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        if self.form == Form::Connect { "" } else { self.text(0, self.path_end) }
    }

    fn query(&self) -> Option<&str> {
        self.query_end.map(|end| self.text(self.path_end, end))
    }

    fn authority(&self) -> &str {
        mesh_model::authority::without_default_port(self.authority_as_sent(), "http")
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if name == "host" {
            visit(self.authority_as_sent().as_bytes());
            return;
        }
        self.headers.iter().flat_map(|headers| headers.get_all(name)).for_each(visit);
    }
}

/// Texts in a buffer that goes back to its thread.
#[derive(Debug)]
struct Texts(String);

impl Texts {
    fn empty() -> Self {
        Self(BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default())
    }
}

impl Clone for Texts {
    fn clone(&self) -> Self {
        let mut copy = Self::empty();
        copy.0.push_str(&self.0);
        copy
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        if self.0.capacity() > SPARE.1 {
            return;
        }
        let mut text = std::mem::take(&mut self.0);
        text.clear();
        // At the end of the thread there is nothing to give it back to.
        let _ = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < SPARE.0 {
                buffers.push(text);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Interim, Kind, Wire};

    fn head(target: &str, authority: &str, form: Form) -> RequestHead {
        RequestHead {
            method: Method::PUT,
            target: target.parse().unwrap(),
            authority: authority.to_owned(),
            headers: Headers::default(),
            wire: Wire::Http1,
            form,
            kind: Kind::Http,
            upgrade: None,
            interim: Interim::default(),
        }
    }

    fn values(of: &impl HeadView, name: &str) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        of.header_values(name, &mut |value| all.push(value.to_vec()));
        all
    }

    #[test]
    fn what_is_kept_reads_as_the_head_does() {
        for (target, authority) in [("/", "a.b"), ("/x/y?a=b", "a.b:80"), ("/x?", "[::1]:8080"), ("*", "")] {
            let head = head(target, authority, Form::Origin);
            let kept = Kept::of(&head, false);
            assert_eq!((kept.method(), kept.path()), (head.method(), head.path()));
            assert_eq!((kept.query(), kept.authority()), (head.query(), head.authority()));
            assert_eq!(values(&kept, "host"), values(&head, "host"));
            let copy = kept.clone();
            drop(kept);
            assert_eq!(
                (copy.path(), copy.query(), copy.authority()),
                (head.path(), head.query(), head.authority())
            );
        }
        let connect = head("/", "a.b:443", Form::Connect);
        assert_eq!(Kept::of(&connect, false).path(), connect.path());
        assert!(!Kept::of(&connect, false).has_headers() && Kept::of(&connect, true).has_headers());
    }

    #[test]
    fn buffers_are_used_again_up_to_their_bounds() {
        BUFFERS.with_borrow_mut(Vec::clear);
        let spare = || BUFFERS.with_borrow(Vec::len);
        let small = head("/x", "a.b", Form::Origin);
        for _ in 0..3 {
            drop(Kept::of(&small, false));
            assert_eq!(spare(), 1, "one after the other takes one buffer");
        }
        let many: Vec<_> = (0..SPARE.0 + 10).map(|_| Kept::of(&small, false)).collect();
        assert_eq!(spare(), 0);
        drop(many);
        assert_eq!(spare(), SPARE.0);
        BUFFERS.with_borrow_mut(Vec::clear);
        drop(Kept::of(&head(&format!("/{}", "x".repeat(SPARE.1)), "a.b", Form::Origin), false));
        assert_eq!(spare(), 0, "a large one is not kept");
    }
}
