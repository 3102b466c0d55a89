//! Session persistence as the Gateway API writes it (GEP-1619), for routes and policies alike. It must not know endpoints.

use kube::core::Rule;
use serde::{Deserialize, Serialize};

use crate::api::scalars::DurationText;

/// Keeps a client on one endpoint. Source: GEP-1619; Gateway API v1.7 for `cookie` and `header`, before for the others.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("self.type == 'Cookie' || (!has(self.cookieConfig) && !has(self.cookie))").message("cookie and cookieConfig are for type Cookie"),
    Rule::new("self.type == 'Header' || !has(self.header)").message("header is for type Header"),
    Rule::new("has(self.absoluteTimeout) || !((has(self.cookieConfig) && self.cookieConfig.lifetimeType == 'Permanent') || (has(self.cookie) && self.cookie.lifetimeType == 'Permanent'))").message("a permanent cookie needs absoluteTimeout")
]))]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// Where the client keeps its session.
    #[serde(rename = "type")]
    pub kind: SessionType,
    /// Name of the cookie or header. Absent: a name of the mesh's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub session_name: Option<String>,
    /// The longest that a session lives, 1s to 8760h. Absent: without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<DurationText>,
    /// Without a request for this long the session ends. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<DurationText>,
    /// About the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_config: Option<CookieConfig>,
    /// About the cookie, as v1.7 of the Gateway API writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<SessionCookie>,
    /// About the header, as v1.7 of the Gateway API writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<SessionHeader>,
}

/// Where a client keeps its session.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionType {
    /// In a cookie.
    #[default]
    Cookie,
    /// In a header, which the client must send back.
    Header,
}

/// About a session's cookie.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieConfig {
    /// How long the client keeps it.
    pub lifetime_type: CookieLifetime,
}

/// About a session's cookie.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionCookie {
    /// Its name. Absent: a name of the mesh's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Only `/`: the cookie holds for the whole host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// How long the client keeps it.
    pub lifetime_type: CookieLifetime,
}

/// About a session's header.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionHeader {
    /// Its name. Absent: a name of the mesh's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
}

/// How long a client keeps a cookie.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CookieLifetime {
    /// As long as the client's own session, such as until a browser is closed.
    #[default]
    Session,
    /// Until `absoluteTimeout`.
    Permanent,
}
