//! Files that are good, and what is said about those that are not.

use super::*;
use crate::local::openness::Check;

fn read(text: &str) -> Result<Composition, Problem> {
    parse(Path::new("/shop/mesh.yaml"), text)
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

const SHOP: &str = "\
# A shop.
workloads:
  - name: db
    command: [redis-server, --port, 6379]
    ports: [{port: 6379, protocol: tcp}]
    ready: {command: redis-cli ping}
  - name: seed
    command: ./seed
    dependsOn: [db]
    job: true
  - name: web
    command: python3 web.py
    workdir: web
    ports: [80, {port: 9090, targetPort: 9091, name: admin}]
    env: {DEBUG: 1, QUIET: true, NAME: web, ANSWER: no}
    replicas: 2
    labels: {version: 1}
    dependsOn: [db, seed.default]
    ready: {http: /healthz}
    to: [\"9000=db:6379\"]
---
apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata:
  name: default
";

#[test]
fn programs_come_in_the_order_of_the_file_with_every_replica() {
    let shop = read(SHOP).unwrap();
    let names: Vec<&str> = shop.tasks.iter().map(|task| task.spec.name.as_str()).collect();
    assert_eq!(names, ["db", "seed", "web-1", "web-2"]);
    let web = shop.tasks.last().unwrap();
    assert_eq!((web.spec.service.as_str(), &web.folder), ("web", &PathBuf::from("/shop/web")));
    assert_eq!(web.command, ["sh", "-c", "python3 web.py"]);
    assert_eq!(web.openness.ports, [80, 9091]);
    assert_eq!(web.openness.check, Some(Check::Http { port: 80, path: "/healthz".into() }));
    assert_eq!(web.depends_on, ["db.default", "seed.default"]);
    let variables: Vec<_> = web.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(variables, ["ANSWER=no", "DEBUG=1", "NAME=web", "QUIET=true"]);
    let db = shop.tasks.first().unwrap();
    assert_eq!(db.command, ["redis-server", "--port", "6379"]);
    assert_eq!(
        db.openness.check,
        Some(Check::Command(vec!["sh".into(), "-c".into(), "redis-cli ping".into()]))
    );
    assert!(shop.tasks[1].job);
}

#[test]
fn objects_of_the_mesh_keep_their_lines() {
    let shop = read(SHOP).unwrap();
    let line = |text: &str| text.lines().position(|line| line.starts_with("kind: MeshConfig"));
    assert_eq!(line(&shop.objects), line(SHOP));
    let two = format!("{SHOP}---\nkind: Service\nmetadata:\n  name: x\n");
    let objects = read(&two).unwrap().objects;
    let second = |text: &str| text.lines().position(|line| line.starts_with("kind: Service"));
    assert_eq!(second(&objects), second(&two));
    assert_eq!(objects.lines().filter(|line| *line == "---").count(), 1);
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let workload = |rest: &str| refused(&format!("workloads:\n  - name: a\n    command: x\n{rest}"));
    for (text, want) in [
        (refused("workloads: []"), "workloads: there are 0 programs"),
        (refused("kind: Service"), "no document of it has `workloads`"),
        (refused("workloads:\n---\nworkloads:\n"), "two documents"),
        (refused("programs: []"), "neither `workloads` nor the `kind`"),
        (refused("workloads:\n  - name: A\n    command: x\n"), "workloads[0].name: "),
        (refused("workloads:\n  - name: a\n    command: \"\"\n"), "workloads[0].command: it is empty"),
        (workload("    ports: [0]"), "workloads[0].ports[0]: 0 is no port"),
        (workload("    ports: [80, 80]"), "workloads[0].ports[1]: port 80 is there twice"),
        (workload("    replicas: 0"), "workloads[0].replicas"),
        (workload("    mode: explicit\n    replicas: 2\n    ports: [80]"), "same port of this machine"),
        (workload("    dependsOn: [b]"), "workloads[0].dependsOn[0]: no workload is called `b.default`"),
        (workload("    dependsOn: [a]"), "would wait for each other"),
        (workload("    ready: {}"), "workloads[0].ready: one of `command` and `http`"),
        (workload("    ready: {http: x}"), "workloads[0].ready.http"),
        (workload("    to: [x]"), "workloads[0].to[0]: `x`"),
        (workload("  - name: a\n    command: y"), "workloads[1].name: `a` is there twice"),
        (workload("    colour: red"), "colour"),
        (workload("    replicas: 2\n  - name: a-1\n    command: x"), "a replica and a workload"),
    ] {
        assert!(text.starts_with("/shop/mesh.yaml: ") && text.contains(want), "{text}\n  want: {want}");
    }
    // What YAML itself finds has its line.
    assert!(workload("    colour: red").contains(": line 4: "), "{}", workload("    colour: red"));
    assert!(
        workload("    ports: [x]").contains(": line 4: a port is a number or"),
        "{}",
        workload("    ports: [x]")
    );
}

#[test]
fn the_files_of_the_task_page_are_good() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tasks/local.md");
    let page = std::fs::read_to_string(page).unwrap();
    let files: Vec<&str> =
        page.split("```yml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!files.is_empty());
    for file in files {
        let composition = read(file).unwrap();
        assert!(composition.tasks.len() > 1 && composition.objects.contains("TrafficPolicy"), "{file}");
    }
}
