//! Files through both commands.

use super::*;

const DEPLOYMENT: &str = "\
# the shop's cart
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart # a name
spec:
  template:
    metadata:
      labels:
        # needed by the selector
        app: cart
    spec:
      containers:
      - name: app
        image: cart:1
";

fn change(
    text: &str,
    change: impl Fn(&Value, workload::Workload) -> anyhow::Result<Done>,
) -> (String, Vec<String>) {
    let mut documents = document::split(text).unwrap();
    let mut said = Vec::new();
    for document in &mut documents {
        document
            .change(&mut |object| {
                let Some(workload) = workload::of(object) else { return Ok(()) };
                said.push(match change(object, workload).unwrap() {
                    Done::Changed(new, how) => {
                        *object = new;
                        how
                    }
                    Done::Left(why) => format!("left: {why}"),
                    Done::Refused(why) => format!("refused: {why}"),
                });
                Ok(())
            })
            .unwrap();
    }
    (document::join(&documents).unwrap(), said)
}

fn labelled(text: &str) -> (String, Vec<String>) {
    change(text, |object, workload| inject_one(object, workload, &Settings::default(), false))
}

fn manual(text: &str) -> (String, Vec<String>) {
    change(text, |object, workload| inject_one(object, workload, &Settings::default(), true))
}

#[test]
fn a_label_is_one_new_line_and_everything_else_stays() {
    let (text, said) = labelled(DEPLOYMENT);
    let wanted =
        DEPLOYMENT.replace("        app: cart\n", "        amime.io/inject: enabled\n        app: cart\n");
    assert_eq!(text, wanted);
    assert_eq!(said, ["has the label amime.io/inject=enabled"]);
    assert_eq!(
        labelled(&text),
        (text.clone(), vec!["left: it has the label amime.io/inject=enabled".to_owned()])
    );
    assert_eq!(change(&text, |object, workload| Ok(eject_one(object, workload))).0, DEPLOYMENT);
}

#[test]
fn labels_and_metadata_are_made_where_there_are_none() {
    let bare = DEPLOYMENT
        .replace("    metadata:\n      labels:\n        # needed by the selector\n        app: cart\n", "");
    let (text, _) = labelled(&bare);
    let wanted = "  template:\n    metadata:\n      labels:\n        amime.io/inject: enabled\n    spec:\n";
    assert!(text.contains(wanted) && text.starts_with("# the shop's cart\n"), "{text}");
    let empty = DEPLOYMENT.replace(
        "      labels:\n        # needed by the selector\n        app: cart\n",
        "      annotations: {}\n",
    );
    assert!(
        labelled(&empty).0.contains(
            "    metadata:\n      labels:\n        amime.io/inject: enabled\n      annotations: {}\n"
        )
    );
}

#[test]
fn what_cannot_be_edited_as_text_is_written_anew() {
    let flow = DEPLOYMENT.replace(
        "      labels:\n        # needed by the selector\n        app: cart\n",
        "      labels: {app: cart}\n",
    );
    let (text, _) = labelled(&flow);
    let value: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        value["spec"]["template"]["metadata"]["labels"],
        json!({ "app": "cart", "amime.io/inject": "enabled" })
    );
    let json = serde_json::to_string(&serde_saphyr::from_str::<Value>(DEPLOYMENT).unwrap()).unwrap();
    let (text, _) = labelled(&json);
    assert!(
        serde_json::from_str::<Value>(&text).unwrap().to_string().contains("\"amime.io/inject\":\"enabled\"")
    );
}

#[test]
fn other_documents_come_out_byte_by_byte() {
    let others = "---\n# a comment alone\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name:   x}\ndata:\n    a: 'yes'   # odd\n";
    let (text, said) = labelled(&format!("{DEPLOYMENT}{others}"));
    assert!(text.ends_with(others), "{text}");
    assert_eq!(said.len(), 1);
}

#[test]
fn every_kind_has_its_template() {
    let template = json!({ "metadata": {}, "spec": { "containers": [{ "name": "app" }] } });
    for one in workload::WORKLOADS {
        let mut object = template.clone();
        for name in one.template.iter().rev() {
            object = json!({ *name: object });
        }
        object["apiVersion"] = json!(one.api_version);
        object["kind"] = json!(one.kind);
        object["metadata"]["name"] = json!("x");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [object] });
        for text in [object.to_string(), list.to_string()] {
            let (text, said) = manual(&text);
            assert_eq!(said, ["the sidecar is written into it"], "{}", one.kind);
            assert_eq!(text.matches("\"mesh-proxy\"").count(), 1, "{}", one.kind);
            let (again, said) = manual(&text);
            assert_eq!((again, said), (text.clone(), vec!["left: it has the sidecar already".to_owned()]));
            let (gone, _) = change(&text, |object, workload| Ok(eject_one(object, workload)));
            assert!(!gone.contains("mesh-proxy") && !gone.contains("amime"), "{gone}");
        }
    }
}

#[test]
fn who_cannot_have_a_sidecar_is_left_and_told_why() {
    let host = DEPLOYMENT.replace("      containers:", "      hostNetwork: true\n      containers:");
    let (text, said) = labelled(&host);
    assert_eq!(text, host);
    assert!(said[0].starts_with("refused: spec.hostNetwork is true"), "{said:?}");
    let out = DEPLOYMENT.replace("        app: cart", "        app: cart\n        amime.io/inject: disabled");
    assert!(labelled(&out).1[0].starts_with("left: its label"));
    let system = DEPLOYMENT.replace("  name: cart # a name", "  name: cart\n  namespace: kube-system");
    assert!(labelled(&system).1[0].contains("pods in kube-system never"));
}

#[test]
fn what_is_no_document_is_refused_with_its_number() {
    let error = document::split(&format!("{DEPLOYMENT}---\na: [\n")).unwrap_err();
    assert!(format!("{error:#}").starts_with("document 2: "), "{error:#}");
}
