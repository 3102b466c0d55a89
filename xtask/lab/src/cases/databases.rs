//! Real databases with their own clients.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::support::{folder, give_away, same, serving};
use crate::mesh::{Mesh, Port, Seen};
use crate::tools::{Tools, postgres as postgres_program, system};

const ROWS: u32 = 100_000;

pub(super) fn postgres(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("postgres", &[Port::undeclared(5432)])?;
    let data = folder(&mesh, "postgres-data")?;
    let made = server.program(postgres_program("initdb")?).args([
        "--auth=trust",
        "--username=app",
        "--no-sync",
        "-D",
    ]);
    made.arg(&data).output()?;
    let access = data.join("pg_hba.conf");
    fs::write(&access, "host all all all trust\nlocal all all trust\n").context("write pg_hba.conf")?;
    let program = server.program(postgres_program("postgres")?).arg("-D").arg(&data).args([
        "-c",
        "listen_addresses=*",
        "-c",
        "fsync=off",
        "-c",
        "unix_socket_directories=",
    ]);
    let _running = serving(program, &server, 5432)?;
    let client = mesh.member("client", &[])?;
    let ask = |sql: &str| {
        let psql =
            client.program(system("psql")?).args(["-h", "postgres", "-U", "app", "-d", "postgres", "-qAtc"]);
        psql.arg(sql).output()
    };
    same(&ask("select 6 * 7")?, "42\n")?;
    ask("create table goods (id int primary key, name text)")?;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("{id}\tname {id}\n")).collect();
    let file = mesh.folder().join("rows");
    fs::write(&file, rows.concat()).context("write the rows")?;
    ask(&format!("\\copy goods from '{}'", file.display()))?;
    let sums = ask("select count(*), sum(id), md5(string_agg(name, ',' order by id)) from goods")?;
    let names: Vec<String> = (0..ROWS).map(|id| format!("name {id}")).collect();
    ensure!(sums.starts_with(&format!("{ROWS}|{}|", u64::from(ROWS) * u64::from(ROWS - 1) / 2)), "{sums}");
    let all = ask("select name from goods order by id")?;
    ensure!(all.lines().eq(names.iter().map(String::as_str)), "the rows are not those that were sent");
    let failed = ask("select nonsense");
    ensure!(failed.is_err_and(|error| format!("{error:#}").contains("nonsense")), "an error is no error");
    client.reached(&server, Seen { protocol: "tcp", count: 5 })
}

pub(super) fn mariadb(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("mariadb", &[Port::undeclared(3306)])?;
    let data = folder(&mesh, "mariadb-data")?;
    let temporary = folder(&mesh, "mariadb-tmp")?;
    let install = server
        .program(system("mariadb-install-db")?)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", temporary.display()));
    install.output()?;
    let first = temporary.join("first.sql");
    fs::write(&first, "create database shop;\ncreate user app@'%' identified by 'secret';\ngrant all on shop.* to app@'%';\n")
        .context("write the first statements")?;
    give_away(&first)?;
    let program = server
        .program(system("mariadbd")?)
        .args([
            "--no-defaults",
            "--bind-address=*",
            "--port=3306",
            "--skip-name-resolve",
            "--innodb-flush-method=fsync",
        ])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", temporary.display()))
        .arg(format!("--socket={}", temporary.join("socket").display()))
        .arg(format!("--init-file={}", first.display()));
    let mut running = serving(program, &server, 3306)?;
    running.prints("ready for connections")?;
    let client = mesh.member("client", &[])?;
    let ask = |sql: &str| {
        let program =
            client.program(system("mariadb")?).args(["--no-defaults", "--host=mariadb", "--port=3306"]);
        program
            .args(["--user=app", "--password=secret", "--batch", "--skip-column-names", "shop", "-e"])
            .arg(sql)
            .output()
    };
    same(&ask("select 6 * 7")?, "42\n")?;
    ask("create table goods (id int primary key, name varchar(40))")?;
    let values: Vec<String> = (0..ROWS / 10).map(|id| format!("({id},'name {id}')")).collect();
    for part in values.chunks(1000) {
        ask(&format!("insert into goods values {}", part.join(",")))?;
    }
    let sums = ask("select count(*), sum(id) from goods")?;
    same(&sums, "10000\t49995000\n")?;
    ensure!(ask("select name from goods order by id")?.lines().count() == 10_000);
    let failed = ask("select nonsense from goods");
    ensure!(failed.is_err_and(|error| format!("{error:#}").contains("nonsense")), "an error is no error");
    client.reached(&server, Seen { protocol: "tcp", count: 14 })
}

pub(super) fn redis(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("redis", &[Port::undeclared(6379)])?;
    let data = folder(&mesh, "redis-data")?;
    let program = server
        .program(system("redis-server")?)
        .args([
            "--port",
            "6379",
            "--bind",
            "*",
            "-::*",
            "--protected-mode",
            "no",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(&data);
    let _running = serving(program, &server, 6379)?;
    let client = mesh.member("client", &[])?;
    let cli =
        || Ok::<_, anyhow::Error>(client.program(system("redis-cli")?).args(["-h", "redis", "-p", "6379"]));
    same(&cli()?.args(["set", "colour", "blue"]).output()?, "OK\n")?;
    same(&cli()?.args(["get", "colour"]).output()?, "blue\n")?;
    let counted = cli()?.args(["-r", "200", "incr", "count"]).output()?;
    ensure!(counted.lines().last() == Some("200"), "{counted}");
    // A client that is told things long after it last spoke.
    let mut listener = cli()?.args(["subscribe", "news"]).limit(Duration::from_secs(20)).start()?;
    listener.prints("subscribe")?;
    same(&cli()?.args(["publish", "news", "something new"]).output()?, "1\n")?;
    listener.prints("something new")?;
    drop(listener);
    client.reached(&server, Seen { protocol: "tcp", count: 5 })
}
