//! What the keeper makes known. With a server that answers: `tests/serve/keys.rs`.

use super::*;

// T24
#[tokio::test]
async fn a_url_that_must_not_be_asked_is_known_with_the_reason() {
    let tasks = Tasks::new();
    let config = KeysConfig::new(Loopback::Refused, None);
    let mut keys = keep(config, KeyCounters::default(), &tasks);
    let uris = [
        "https://127.0.0.1:1/keys",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://localhost/",
    ];
    keys.wanted.send_replace(uris.iter().map(|uri| Arc::from(*uri)).collect());
    let known = keys.known.wait_for(|known| known.len() == uris.len()).await.unwrap().clone();
    for uri in uris {
        let trouble = known[uri].trouble.as_deref().unwrap();
        assert!(trouble.contains("from where nothing is fetched"), "{uri}: {trouble}");
        assert_eq!(known[uri].jwks, None);
    }
    keys.wanted.send_replace(Wanted::new());
    keys.known.wait_for(|known| known.is_empty()).await.unwrap();
}
