//! `sandgate config check|dump|import|export|diff|init`.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::Desk;
use crate::harness::TestGateway;

const FILE: &str = "_format_version: \"3.0\"\nservices:\n- name: s\n  url: http://h:81/p\n  retries: null\n  routes:\n  - name: r\n    paths: [/a, '~/b/\\d+']\n    plugins: [{name: rate-limiting, config: {minute: 5, policy: local}}]\nconsumers:\n- username: 'on'\n  keyauth_credentials: [{key: '0123'}]\n  acls: [{group: gold}]\nupstreams:\n- name: u\n  targets: [{target: '10.0.0.1:80'}]\nplugins:\n- {name: key-auth, service: s}\n";

#[test]
fn a_good_file_is_found_good_and_makes_no_database() {
    let desk = Desk::new();
    desk.write("kong.yaml", FILE);
    let database = desk.path("none.db");
    assert_eq!(desk.config(&database, &["check", "kong.yaml"]).well(), "kong.yaml is fine: 9 entities\n");
    assert!(!database.exists());
}

#[test]
fn a_bad_file_is_explained() {
    let desk = Desk::new();
    desk.write("kong.yaml", "_format_version: '3.0'\nservices:\n- host: h\n- name: x\n");
    let said = desk.config(&desk.path("none.db"), &["check", "kong.yaml"]);
    assert_eq!(said.code, 2);
    let expected = "kong.yaml is no configuration that can be used:\nin 'services':\n  - in entry 2 of 'services':\n    in 'host': required field missing\n";
    assert!(said.error.ends_with(expected), "{}", said.error);
}

#[test]
fn an_export_of_an_import_of_an_export_is_the_same_to_the_byte() {
    let desk = Desk::new();
    desk.write("kong.yaml", FILE);
    let (one, two) = (desk.path("one.db"), desk.path("two.db"));
    assert!(desk.config(&one, &["import", "kong.yaml"]).well().ends_with("9 added, 0 changed, 0 unchanged\n"));
    desk.config(&one, &["export", "first.yaml"]).well();
    desk.config(&two, &["import", "first.yaml"]).well();
    desk.config(&two, &["export", "second.yaml"]).well();
    let read = |name: &str| fs::read_to_string(desk.path(name)).unwrap();
    assert_eq!(read("first.yaml"), read("second.yaml"));
    assert!(read("first.yaml").contains("retries: null\n"));
    assert_eq!(fs::metadata(desk.path("first.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.config(&two, &["dump"]).well(), read("first.yaml"));
    let again = desk.config(&one, &["import", "first.yaml"]).well();
    assert_eq!(again, "0 added, 0 changed, 9 unchanged\n");
}

#[test]
fn a_diff_says_what_an_import_would_change_and_changes_nothing() {
    let (desk, database) = (Desk::new(), Desk::new());
    let database = database.path("kong.db");
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    desk.write("kong.yaml", FILE);
    desk.config(&database, &["import", "kong.yaml"]).well();
    assert_eq!(desk.config(&database, &["diff", "kong.yaml"]).well(), "0 added, 0 changed, 9 unchanged\n");
    let changed =
        FILE.replace("[/a, ", "[/new, ").replace("'10.0.0.1:80'", "'10.0.0.2:80'").replace("minute: 5", "minute: 6");
    desk.write("kong.yaml", &changed);
    for _ in 0..2 {
        let said = desk.config(&database, &["diff", "kong.yaml"]);
        assert_eq!(said.code, 1, "{}", said.error);
        assert!(
            said.out.contains("~ routes r\n    paths: [\"/a\",\"~/b/\\\\d+\"] -> [\"/new\",\"~/b/\\\\d+\"]\n"),
            "{}",
            said.out
        );
        assert!(
            said.out.contains("+ targets 10.0.0.2:80\n") && said.out.contains("config: (changed; may be secret)\n"),
            "{}",
            said.out
        );
        assert!(said.out.ends_with("1 added, 2 changed, 6 unchanged\n"), "{}", said.out);
    }
    for (file, code, of_deck) in [("kong.yaml", 1, 2), ("none.yaml", 2, 1)] {
        assert_eq!(desk.config(&database, &["diff", file]).code, code, "{file}");
        assert_eq!(desk.config(&database, &["diff", "--non-zero-exit-code", file]).code, of_deck, "{file}");
    }
}

#[test]
fn files_come_and_go_through_pipes() {
    let desk = Desk::new();
    let (one, two) = (desk.path("one.db"), desk.path("two.db"));
    assert_eq!(desk.config_reading(&one, &["check", "-"], FILE).well(), "standard input is fine: 9 entities\n");
    desk.config_reading(&one, &["import", "-"], FILE).well();
    let dump = desk.config(&one, &["dump", "-o", "-"]).well();
    assert_eq!(desk.config(&one, &["export", "-"]).well(), dump);
    desk.config(&one, &["dump", "--output-file", "kong.yaml"]).well();
    assert_eq!(fs::read_to_string(desk.path("kong.yaml")).unwrap(), dump);
    desk.config_reading(&two, &["import", "-"], &dump).well();
    let said = desk.config_reading(&two, &["diff", "-"], &dump).well();
    assert_eq!(said, "0 added, 0 changed, 9 unchanged\n");
    let said = desk.config_reading(&one, &["check", "-"], "{\"services\": 1}");
    assert!(said.code == 2 && said.error.contains("standard input is no configuration"), "{}", said.error);
}

#[test]
fn a_pruning_import_leaves_what_the_file_has_and_nothing_else() {
    let (desk, file) = (Desk::new(), "_format_version: '3.0'\nservices:\n- {name: s, host: h}\n");
    let database = desk.path("kong.db");
    desk.write("kong.yaml", FILE);
    desk.config(&database, &["import", "kong.yaml"]).well();
    desk.write("less.yaml", file);
    let expected = "0 added, 1 changed, 0 unchanged, 8 deleted\n";
    let said = desk.config(&database, &["diff", "--prune", "less.yaml"]);
    assert!(said.code == 1 && said.out.ends_with(expected), "{}{}", said.out, said.error);
    assert!(said.out.contains("- routes r\n") && said.out.contains("- consumers on\n"), "{}", said.out);
    assert!(!said.out.contains("0123"), "keys are secrets: {}", said.out);
    assert!(desk.config(&database, &["import", "--prune", "less.yaml"]).well().ends_with(expected));
    let said = desk.config(&database, &["diff", "--prune", "less.yaml"]).well();
    assert_eq!(said, "0 added, 0 changed, 1 unchanged\n");
}

#[test]
fn a_pruning_import_spares_what_its_tags_do_not_select_and_makes_room_for_ids() {
    let (desk, id) = (Desk::new(), "6ff5a0aa-5a5c-4b4d-a4d4-000000000001");
    let database = desk.path("kong.db");
    let service = |name: &str, tag: &str| format!("- {{name: {name}, host: h, tags: [{tag}]}}\n");
    let all = [service("a", "ours"), service("b", "ours"), service("c", "theirs")].concat();
    desk.write("kong.yaml", &format!("_format_version: '3.0'\nservices:\n{all}"));
    desk.config(&database, &["import", "kong.yaml"]).well();
    let head = "_format_version: '3.0'\n_info: {select_tags: [ours]}\nservices:\n";
    desk.write("ours.yaml", &format!("{head}- {{id: {id}, name: a, host: h, tags: [ours]}}\n"));
    let said = desk.config(&database, &["import", "--prune", "ours.yaml"]).well();
    assert_eq!(said, "+ services a\n- services a\n- services b\n1 added, 0 changed, 0 unchanged, 2 deleted\n");
    let dump = desk.config(&database, &["dump"]).well();
    assert!(dump.contains(id) && dump.contains("name: c\n") && !dump.contains("name: b\n"), "{dump}");
}

#[test]
fn a_pruning_import_lets_names_and_keys_change_hands() {
    let desk = Desk::new();
    let database = desk.path("kong.db");
    let [one, two] = ["6ff5a0aa-5a5c-4b4d-a4d4-000000000001", "6ff5a0aa-5a5c-4b4d-a4d4-000000000002"];
    let file = |first: &str, second: &str, key: &str, other: &str| {
        format!(
            "_format_version: '3.0'\nservices:\n- {{id: {one}, name: {first}, host: h}}\n- {{id: {two}, name: {second}, host: i}}\n\
             consumers:\n- username: x\n  custom_id: {first}\n  keyauth_credentials: [{{key: {key}}}]\n\
             - username: y\n  custom_id: {second}\n  keyauth_credentials: [{{key: {other}}}]\n"
        )
    };
    desk.write("kong.yaml", &file("a", "b", "k", "l"));
    desk.config(&database, &["import", "kong.yaml"]).well();
    desk.write("kong.yaml", &file("b", "a", "l", "k"));
    let said = desk.config(&database, &["import", "--prune", "kong.yaml"]).well();
    assert!(said.contains("~ services b\n    name: \"a\" -> \"b\"\n"), "{said}");
    assert!(said.ends_with("0 added, 6 changed, 0 unchanged\n"), "ids and what else they have stay: {said}");
    let said = desk.config(&database, &["diff", "--prune", "kong.yaml"]).well();
    assert_eq!(said, "0 added, 0 changed, 6 unchanged\n");
    // What goes has the key that a new one of another name gets.
    desk.write(
        "kong.yaml",
        "_format_version: '3.0'\nconsumers: [{username: z, custom_id: a, keyauth_credentials: [{key: k}]}]\n",
    );
    desk.config(&database, &["import", "--prune", "kong.yaml"]).well();
    let dump = desk.config(&database, &["dump"]).well();
    assert!(dump.contains("username: z\n") && !dump.contains("username: x\n") && !dump.contains("parked"), "{dump}");
}

#[test]
fn a_name_twice_in_one_object_is_refused_whatever_the_syntax() {
    let desk = Desk::new();
    for (name, text, problem) in [
        (
            "twice.json",
            r#"{"_format_version":"3.0","services":[{"host":"a","host":"b"}]}"#,
            "the name \"host\" comes twice",
        ),
        ("twice.yaml", "_format_version: '3.0'\nservices:\n- host: a\n  host: b\n", "the key 'host' stands twice"),
    ] {
        desk.write(name, text);
        let said = desk.config(&desk.path("none.db"), &["check", name]);
        assert!(said.code == 2 && said.error.contains(problem), "{name}: {}", said.error);
    }
}

#[test]
fn decks_files_are_imported() {
    let desk = Desk::new();
    let file = "_format_version: \"3.0\"\n_info: {select_tags: [team], defaults: {}}\n_plugin_configs: {few: {minute: 2, policy: local}}\nservices:\n- name: s\n  host: ${{ env \"DECK_HOST\" }}\n  plugins: [{name: rate-limiting, _config: few}]\nroutes:\n- name: r\n  paths: [/a]\n  service: {name: s}\n";
    desk.write("kong.yaml", file);
    let database = desk.path("kong.db");
    assert!(desk.config(&database, &["check", "kong.yaml"]).error.contains("in '_info': unknown field"));
    desk.config(&database, &["check", "--import", "kong.yaml"]).well();
    desk.config(&database, &["import", "kong.yaml"]).well();
    let dump = desk.config(&database, &["dump"]).well();
    assert!(dump.contains("host: from.deck\n") && dump.contains("minute: 2\n"), "{dump}");
    desk.write("kong.yaml", &file.replace("DECK_HOST", "DECK_NONE"));
    assert!(desk.config(&database, &["import", "kong.yaml"]).error.contains("the variable DECK_NONE is not set"));
}

#[test]
fn a_sample_is_written_once_and_is_good() {
    let desk = Desk::new();
    let none = desk.path("none.db");
    desk.config(&none, &["init"]).well();
    desk.config(&none, &["check", "kong.yaml"]).well();
    assert!(desk.config(&none, &["init"]).error.contains("kong.yaml exists already"));
}

#[tokio::test]
async fn an_import_reaches_a_gateway_that_runs_and_takes_over_what_it_knows() {
    let desk = Desk::new();
    let gateway = TestGateway::new().start().await;
    let service = gateway.admin.create("/services", json!({"name": "s", "host": "old"})).await;
    gateway.admin.create("/services", json!({"name": "other", "host": "h"})).await;
    desk.write("kong.yaml", FILE);
    let said = desk.config(&gateway.file("sandgate.db"), &["import", "kong.yaml"]).well();
    assert!(said.contains("~ services s\n") && said.contains("host: \"old\" -> \"h\"\n"), "{said}");
    let read = gateway.admin.get("/services/s").await.expect(200).json();
    assert_eq!(
        (&read["id"], &read["created_at"], &read["host"]),
        (&service["id"], &service["created_at"], &json!("h"))
    );
    gateway.admin.get("/services/other").await.expect(200);
    assert_eq!(gateway.admin.get("/routes/r/service").await.expect(200).json()["id"], service["id"]);
    gateway.eventually("/a", |answer| answer.status == 401).await;
}

#[test]
fn a_pruning_import_reads_its_tags_as_it_reads_the_rest_of_the_file() {
    let desk = Desk::new();
    let database = desk.path("kong.db");
    let services = "services:\n- {name: a, host: h, tags: [from.deck]}\n- {name: b, host: h, tags: [theirs]}\n";
    desk.write("kong.yaml", &format!("_format_version: '3.0'\n{services}"));
    desk.config(&database, &["import", "kong.yaml"]).well();
    let tagged = |tags: &str| format!("_format_version: '3.0'\n_info: {{select_tags: {tags}}}\n");
    for wrong in ["theirs", "{a: b}", "[1]"] {
        desk.write("ours.yaml", &tagged(wrong));
        let said = desk.config(&database, &["import", "--prune", "ours.yaml"]);
        assert!(said.code != 0 && said.error.contains("select_tags"), "{wrong}: {}{}", said.out, said.error);
    }
    desk.write("ours.yaml", &tagged("[${{ env \"DECK_HOST\" }}]"));
    let said = desk.config(&database, &["import", "--prune", "ours.yaml"]).well();
    assert_eq!(said, "- services a\n0 added, 0 changed, 0 unchanged, 1 deleted\n");
}

#[test]
fn who_only_looks_at_a_database_does_not_migrate_it() {
    let desk = Desk::new();
    desk.write("kong.yaml", FILE);
    let (empty, none) = (desk.write("empty.db", ""), desk.path("none.db"));
    let looking: [&[&str]; 4] = [&["check", "kong.yaml"], &["diff", "kong.yaml"], &["dump"], &["export", "out.yaml"]];
    for arguments in looking {
        let said = desk.config(&empty, arguments);
        let expected = "the configuration database is older than this program";
        assert!(said.code == 2 && said.error.contains(expected), "{arguments:?}: {}", said.error);
    }
    assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    assert_eq!(desk.config(&none, &["diff", "kong.yaml"]).code, 2);
    assert!(!none.exists() && !desk.path("out.yaml").exists());
    desk.config(&empty, &["import", "kong.yaml"]).well();
    for arguments in looking {
        desk.config(&empty, arguments).well();
    }
}
