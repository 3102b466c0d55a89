//! Finding what a host stands for.

use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;

use super::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn entry(of: &str, meaning: HostMeaning) -> ModelResource {
    ModelResource::Host(HostEntry { host: host(of), meaning })
}

fn external(resolution: Resolution) -> ModelResource {
    ModelResource::External(ExternalService {
        name: Name::new("shop", "api").unwrap(),
        hosts: vec![HostPattern::parse("api.example").unwrap()],
        ports: vec![ExternalPort { port: 443, target: 443, protocol: None, tls: None }],
        resolution,
        origin: String::new(),
    })
}

fn of_external() -> HostMeaning {
    HostMeaning::External(Name::new("shop", "api").unwrap())
}

#[tokio::test]
async fn a_host_of_an_external_service_is_found_with_it_and_follows_its_changes() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let api = host("api.example");
    let asked = async {
        assert_eq!(talk.subscribe().await.add_sought, ["api.example"]);
        let both = [entry("api.example", of_external()), external(Resolution::None)];
        talk.update(answer(2, 2, &both)).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.host(&api, DEADLINE), asked);
    assert!(
        matches!(found, Ok(Named::External(ref found)) if found.resolution == Resolution::None),
        "{found:?}"
    );
    let ips = vec![[192, 0, 2, 1].into()];
    talk.update(answer(2, 3, &[external(Resolution::Static(ips.clone()))])).await;
    talk.ack().await;
    let found = proxy.discovery.host(&api, DEADLINE).await;
    assert!(
        matches!(found, Ok(Named::External(ref found)) if found.resolution == Resolution::Static(ips)),
        "{found:?}"
    );
    talk.update(Update {
        unknown_sought: vec!["api.example".to_owned()],
        nonce: 4,
        ..update(&[], &["host/api.example", "externalservice/shop/api"])
    })
    .await;
    talk.ack().await;
    let found = proxy.discovery.host(&api, DEADLINE).await;
    assert_eq!(found.unwrap_err(), Undiscovered::Unknown);
}

#[tokio::test]
async fn each_meaning_is_what_it_says() {
    let all = [
        cart().as_slice(),
        &[
            entry("cart.shop", HostMeaning::Service(name("cart"))),
            entry("db.shop", HostMeaning::Alias(host("db.example"))),
            entry("db-0.db.shop", HostMeaning::Endpoints(vec![[10, 0, 0, 1].into()])),
            // Its external service is not here, so it is not known what it is.
            entry("api.example", of_external()),
        ],
    ]
    .concat();
    let (discovery, _control) = Discovery::fixed("shop", all);
    let find = async |of: &str| discovery.host(&host(of), DEADLINE).await;
    assert!(
        matches!(find("cart.shop").await, Ok(Named::Service(found)) if found.service.name == name("cart"))
    );
    assert!(matches!(find("db.shop").await, Ok(Named::Alias(alias)) if alias == host("db.example")));
    assert!(matches!(find("db-0.db.shop").await, Ok(Named::Endpoints(ips)) if ips.len() == 1));
    for unknown in ["api.example", "nobody.example"] {
        assert_eq!(find(unknown).await.unwrap_err(), Undiscovered::Unknown, "{unknown}");
    }
}
