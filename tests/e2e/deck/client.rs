//! A client that makes decK's calls, in decK's order: what `reference/admin-api.md` §8 records of it. decK itself cannot
//! be had from the module proxy.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::kinds::{KINDS, Kind, LEVELS};
use crate::harness::{Admin, Gateway};

/// decK has so many requests open at once.
const PARALLEL: usize = 10;

/// Entities by kind, in the order in which they were listed or written down.
pub type Entities = BTreeMap<&'static str, Vec<Value>>;

/// decK, for the Admin API of one gateway.
pub struct Deck {
    admin: Admin,
    select_tags: Vec<String>,
}

/// What a sync would do, or did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub created: Vec<String>,
    pub updated: Vec<String>,
    pub deleted: Vec<String>,
}

impl Diff {
    /// What `deck gateway diff --non-zero-exit-code` ends with.
    pub fn exit_code(&self) -> i32 {
        if *self == Self::default() { 0 } else { 2 }
    }
}

/// One write.
struct Step {
    kind: &'static Kind,
    entity: Value,
    deletes: bool,
}

impl Deck {
    pub fn of(gateway: &Gateway) -> Self {
        Self { admin: gateway.admin.clone(), select_tags: Vec::new() }
    }

    /// Looks after entities with all of these tags, and gives them to those that it writes.
    pub fn select_tags(mut self, tags: &[&str]) -> Self {
        self.select_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self
    }

    /// `deck gateway ping`: the version that it tells.
    pub async fn ping(&self) -> String {
        let root = self.admin.get("/").await.expect(200).json();
        assert!(root["configuration"]["database"].is_string(), "{root}");
        root["version"].as_str().expect("a version").to_owned()
    }

    /// `deck gateway diff`
    pub async fn diff(&self, file: &Value) -> Diff {
        self.plan(file).await.0
    }

    /// `deck gateway sync`: what it did.
    pub async fn sync(&self, file: &Value) -> Diff {
        let (diff, steps) = self.plan(file).await;
        let (mut deletes, mut puts): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.deletes);
        for level in LEVELS {
            self.at_once(puts.extract_if(.., |step| step.kind.level == level).collect()).await;
        }
        for level in LEVELS.rev() {
            self.at_once(deletes.extract_if(.., |step| step.kind.level == level).collect()).await;
        }
        diff
    }

    /// `deck gateway reset --force`
    pub async fn reset(&self) -> Diff {
        self.sync(&json!({ "_format_version": "3.0" })).await
    }

    /// `deck gateway validate`: what was refused.
    pub async fn validate(&self, file: &Value) -> Vec<String> {
        let current = self.current().await;
        let mut refused = Vec::new();
        for (name, entities) in self.wanted(file, &current).await {
            for entity in entities {
                let path = format!("/schemas/{}/validate", Kind::named(name).schema);
                let answer = self.admin.post(&path, entity).await;
                if answer.status != 200 {
                    refused.push(format!("{name}: {} {}", answer.status, answer.text()));
                }
            }
        }
        refused
    }

    /// `deck gateway dump`: everything, without ids and times, children with the keys of their parents.
    pub async fn dump(&self) -> Entities {
        self.ping().await;
        readable(&self.current().await)
    }

    /// A file as `dump` gives it once it is synced.
    pub async fn dump_of(&self, file: &Value) -> Entities {
        let current = self.current().await;
        readable(&self.wanted(file, &current).await)
    }

    async fn plan(&self, file: &Value) -> (Diff, Vec<Step>) {
        self.ping().await;
        let current = self.current().await;
        let mut wanted = self.wanted(file, &current).await;
        let (mut diff, mut steps) = (Diff::default(), Vec::new());
        for kind in KINDS {
            let there = current.get(kind.name).map_or(&[][..], Vec::as_slice);
            let wanted = wanted.remove(kind.name).unwrap_or_default();
            let title = |entity: &Value| format!("{} {}", kind.name, kind.key_of(entity).join(" "));
            for gone in there.iter().filter(|entity| !wanted.iter().any(|other| other["id"] == entity["id"])) {
                diff.deleted.push(title(gone));
                steps.push(Step { kind, entity: gone.clone(), deletes: true });
            }
            for entity in wanted {
                match there.iter().find(|other| other["id"] == entity["id"]) {
                    Some(same) if comparable(same) == comparable(&entity) => continue,
                    Some(other) => diff.updated.push(format!("{}: {}", title(&entity), change(other, &entity))),
                    None => diff.created.push(title(&entity)),
                }
                steps.push(Step { kind, entity, deletes: false });
            }
        }
        (diff, steps)
    }

    async fn at_once(&self, steps: Vec<Step>) {
        let mut steps = steps.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < PARALLEL
                && let Some(step) = steps.next()
            {
                running.spawn(step.take(self.admin.clone()));
            }
            let Some(done) = running.join_next().await else { break };
            done.expect("a write that was accepted");
        }
    }

    /// Everything that is there, listed page by page.
    async fn current(&self) -> Entities {
        let mut current = Entities::new();
        for kind in KINDS.iter().filter(|kind| kind.name != "targets") {
            let listed = self.list(&format!("/{}", kind.path), kind).await;
            current.insert(kind.name, listed);
        }
        let mut targets = Vec::new();
        for upstream in current.get("upstreams").into_iter().flatten() {
            let id = upstream["id"].as_str().expect("an id");
            targets.extend(self.list(&format!("/upstreams/{id}/targets"), Kind::named("targets")).await);
        }
        current.insert("targets", targets);
        current
    }

    async fn list(&self, path: &str, kind: &Kind) -> Vec<Value> {
        let mut entities = Vec::new();
        let mut offset = None::<String>;
        loop {
            let tags = (!self.select_tags.is_empty()).then(|| format!("&tags={}", self.select_tags.join(",")));
            let offset_text = offset.map(|offset| format!("&offset={offset}"));
            let query = format!("{path}?size=1000{}{}", tags.unwrap_or_default(), offset_text.unwrap_or_default());
            let answer = self.admin.get(&query).await;
            // What an edition of Kong does not have, it answers with 404.
            if answer.status == 404
                && !matches!(kind.name, "services" | "routes" | "plugins" | "consumers" | "upstreams")
            {
                return entities;
            }
            let page = answer.expect(200).json();
            entities.extend(page["data"].as_array().expect("data is a list").iter().cloned());
            offset = page["offset"].as_str().map(str::to_owned);
            if offset.is_none() {
                return entities;
            }
        }
    }

    /// A file as entities: with the ids that are there already or new ones, tags, references and defaults.
    async fn wanted(&self, file: &Value, current: &Entities) -> Entities {
        let mut found = Vec::new();
        for kind in KINDS {
            flatten(kind, &file[kind.name], None, &mut found);
        }
        let mut wanted = Entities::new();
        for kind in KINDS {
            let of_kind = found.extract_if(.., |(other, _)| *other == kind.name).map(|(_, entity)| entity);
            for mut entity in of_kind.collect::<Vec<_>>() {
                self.complete(kind, &mut entity, &wanted, current).await;
                wanted.entry(kind.name).or_default().push(entity);
            }
        }
        wanted
    }

    async fn complete(&self, kind: &'static Kind, entity: &mut Value, wanted: &Entities, current: &Entities) {
        for (field, to) in kind.references {
            if let Some(key) = entity[*field].as_str().or(entity[*field]["name"].as_str()) {
                let among = wanted
                    .get(to)
                    .into_iter()
                    .flatten()
                    .find(|other| Kind::named(to).key_of(other)[0] == key || other["id"] == *key);
                entity[*field] = json!({ "id": among.unwrap_or_else(|| panic!("{field} {key} is in the file"))["id"] });
            }
        }
        if entity["id"].is_null() {
            let key = kind.key_of(entity);
            let there = current.get(kind.name).into_iter().flatten().find(|other| kind.key_of(other) == key);
            entity["id"] = there.map_or_else(|| Uuid::new_v4().to_string().into(), |there| there["id"].clone());
        }
        if !self.select_tags.is_empty() {
            let mut tags: Vec<Value> = entity["tags"].as_array().cloned().unwrap_or_default();
            tags.extend(self.select_tags.iter().map(|tag| tag.as_str().into()));
            entity["tags"] = tags.into();
        }
        let schema = self.admin.get(&format!("/schemas/{}", kind.schema)).await.expect(200).json();
        fill(entity, &schema["fields"]);
        if ["plugins", "vaults"].contains(&kind.name)
            && let Some(name) = entity["name"].as_str().map(str::to_owned)
        {
            let schema = self.admin.get(&format!("/schemas/{}/{name}", kind.name)).await.expect(200).json();
            fill(entity, &schema["fields"]);
        }
    }
}

impl Step {
    async fn take(self, admin: Admin) {
        let place = self.kind.place(&self.entity);
        if self.deletes {
            admin.delete(&place).await.expect(204);
            return;
        }
        let answer = admin.put(&place, self.entity.clone()).await;
        // Targets are only updated by PUT.
        if answer.status == 404 && self.kind.name == "targets" {
            let (list, _) = place.rsplit_once('/').expect("a place in a list");
            admin.post(list, self.entity).await.expect(201);
            return;
        }
        assert!(
            matches!(answer.status, 200 | 201),
            "PUT {place} of {}: {} {}",
            self.entity,
            answer.status,
            answer.text()
        );
    }
}

/// Takes entities out of a file, the children of each by themselves.
fn flatten(
    kind: &'static Kind,
    entities: &Value,
    parent: Option<(&str, &Value)>,
    found: &mut Vec<(&'static str, Value)>,
) {
    for entity in entities.as_array().into_iter().flatten() {
        let mut own = entity.as_object().cloned().expect("entities are objects");
        if let Some((parents, parent)) = parent {
            let key = Kind::named(parents).key_of(parent);
            own.insert(kind.reference_to(parents).into(), key[0].clone().into());
        }
        let is_child = |child: &&Kind| child.references.iter().any(|(_, to)| *to == kind.name);
        for child in KINDS.iter().filter(is_child) {
            if let Some(children) = own.remove(child.name) {
                flatten(child, &children, Some((kind.name, entity)), found);
            }
        }
        found.push((kind.name, own.into()));
    }
}

/// Fills in the defaults of a schema.
fn fill(entity: &mut Value, fields: &Value) {
    for (name, field) in fields.as_array().into_iter().flatten().filter_map(|single| single.as_object()?.iter().next())
    {
        if entity[name].is_null() && !field["default"].is_null() {
            entity[name] = field["default"].clone();
        }
        let is_record = field["type"] == "record" && !field["fields"].is_null();
        if is_record && (entity[name].is_object() || field["required"] == true) {
            if entity[name].is_null() {
                entity[name] = json!({});
            }
            fill(&mut entity[name], &field["fields"]);
            repeat_in_old_places(&mut entity[name], &field["shorthand_fields"]);
        }
    }
}

/// A field that has moved is shown in its old place, too.
fn repeat_in_old_places(record: &mut Value, moved: &Value) {
    for (name, field) in moved.as_array().into_iter().flatten().filter_map(|single| single.as_object()?.iter().next()) {
        let path = field["deprecation"]["replaced_with"][0]["path"].as_array().into_iter().flatten();
        let value = path.fold(&*record, |at, step| &at[step.as_str().unwrap_or_default()]).clone();
        if record[name].is_null() && !value.is_null() {
            record[name] = value;
        }
    }
}

/// Without times and what is not set; tags in order. decK compares the names of a certificate by themselves alone.
fn comparable(entity: &Value) -> Value {
    match entity {
        Value::Object(fields) => {
            let made = |name: &str| {
                matches!(name, "created_at" | "updated_at" | "cert_digest")
                    || (name == "snis" && fields.contains_key("cert"))
            };
            let set = fields.iter().filter(|(name, value)| !value.is_null() && !made(name));
            let shown = set.map(|(name, value)| match value.as_array().filter(|_| name == "tags") {
                Some(tags) => {
                    let mut tags = tags.clone();
                    tags.sort_by_key(Value::to_string);
                    (name.clone(), tags.into())
                }
                None => (name.clone(), comparable(value)),
            });
            Value::Object(shown.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(comparable).collect(),
        other => other.clone(),
    }
}

/// The fields in which two entities differ.
fn change(one: &Value, other: &Value) -> String {
    let (one, other) = (comparable(one), comparable(other));
    let names = one.as_object().into_iter().chain(other.as_object()).flat_map(Map::keys);
    let mut differing: Vec<_> = names.filter(|name| one[*name] != other[*name]).collect();
    differing.dedup();
    let shown = |name: &&String| format!("{name} from {} to {}", one[*name], other[*name]);
    differing.iter().map(shown).collect::<Vec<_>>().join("; ")
}

/// Without ids, references by the keys of what they lead to, each list in the order of its texts.
fn readable(entities: &Entities) -> Entities {
    let key = |to: &str, id: &Value| {
        let found = entities.get(to).into_iter().flatten().find(|other| other["id"] == *id);
        found.map_or_else(|| format!("a stranger {id}"), |other| Kind::named(to).key_of(other).join(" "))
    };
    let mut shown = Entities::new();
    for (name, of_kind) in entities.iter().filter(|(_, of_kind)| !of_kind.is_empty()) {
        let kind = Kind::named(name);
        let mut list = Vec::new();
        for entity in of_kind {
            let mut entity = comparable(entity);
            for (field, to) in kind.references.iter().filter(|(field, _)| !entity[*field].is_null()).collect::<Vec<_>>()
            {
                entity[*field] = key(to, &entity[*field]["id"].clone()).into();
            }
            if kind.key != ["id"] {
                entity.as_object_mut().map(|fields| fields.remove("id"));
            }
            list.push(entity);
        }
        list.sort_by_key(|entity| kind.key_of(entity));
        shown.insert(name, list);
    }
    shown
}
