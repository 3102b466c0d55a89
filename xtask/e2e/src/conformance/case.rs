//! What a case of our own is: objects that are applied, and what must then be seen. Only data.

/// A case. Its objects are applied before the steps and deleted after them.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) objects: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// Something that must come true within the suite's time to consistency, and stay so three times in a row.
#[derive(Debug)]
pub(crate) enum Step {
    /// A request, and its answer.
    Call(Call),
    /// Of this many requests, this part of a hundred goes to this Deployment, give or take 8.
    Share { call: Call, count: u32, backend: &'static str, percent: u32 },
    /// Of this many requests, at least one and not all have this status: what is left of a hundred goes elsewhere.
    Partly { call: Call, count: u32, code: &'static str, percent: u32 },
    /// A condition in the status of a route: `HTTPRoute` `own-mesh/name`, its type, value and reason.
    Condition {
        kind: &'static str,
        namespace: &'static str,
        name: &'static str,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    },
    /// This text stands in the log of a Deployment of `own-mesh`, in this share of as many requests (percent), give or take 15.
    Logged { call: Call, count: u32, deployment: &'static str, percent: u32 },
    /// As many requests with a change of these objects after each hundredth: none fails.
    Steady { call: Call, changes: [&'static str; 2] },
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The namespace of the services.
    Mesh,
    /// A namespace that has routes of its own.
    Consumer,
    /// One that has none.
    Other,
}

/// One run of the client.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) from: From,
    /// `{POD:echo-v2}` stands for that pod's address.
    pub(crate) url: &'static str,
    pub(crate) args: Vec<&'static str>,
    pub(crate) want: Vec<Want>,
}

/// What the answer must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// This status.
    Code(&'static str),
    /// From this Deployment.
    Backend(&'static str),
    /// What the server saw: `URL`, `Host`, `Method`, `Proto`.
    Saw(&'static str, &'static str),
    /// A header of the request as the server saw it.
    Sent(&'static str, &'static str),
    /// Which the server did not see.
    NotSent(&'static str),
    /// A header of the answer.
    Got(&'static str, &'static str),
    /// Which the answer has not.
    NotGot(&'static str),
    /// The call fails, and the client's words have this in them.
    Fails(&'static str),
}

/// A call from the services' own namespace.
pub(crate) fn call(url: &'static str, want: &[Want]) -> Call {
    Call { from: From::Mesh, url, args: Vec::new(), want: want.to_vec() }
}

impl Call {
    pub(crate) fn from(self, from: From) -> Self {
        Self { from, ..self }
    }

    /// One more header, `name: value`.
    pub(crate) fn header(mut self, header: &'static str) -> Self {
        self.args.extend(["-H", header]);
        self
    }

    /// One more argument of the client.
    pub(crate) fn arg(mut self, arg: &'static str) -> Self {
        self.args.push(arg);
        self
    }

    pub(crate) fn step(self) -> Step {
        Step::Call(self)
    }
}

/// A condition of a route of the services' own namespace.
pub(crate) fn condition(
    kind: &'static str,
    name: &'static str,
    condition: &'static str,
    status: &'static str,
    reason: &'static str,
) -> Step {
    Step::Condition { kind, namespace: "own-mesh", name, condition, status, reason }
}
