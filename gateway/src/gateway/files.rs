//! What `sandgate config` does: declarative files against a database, without serving anything.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use serde::Deserialize as _;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use super::{Foundation, GatewayError, desk::Desk, system};
use crate::{
    admin::declarative::{Change, Others, Plan, Reading, export, import, resolve},
    config::{Config, Database},
    model::{
        Registry,
        declarative::{Invalid, Loaded, Syntax, parse, substitute},
    },
    shutdown::Tasks,
    snapshot::Deployments,
    store::{Store, StoreError, Upkeep},
    telemetry::Metrics,
};

/// Declarative files beside a configuration database.
pub struct Files {
    control: Runtime,
    tasks: Tasks,
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    desk: Arc<Desk>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is nothing to import into.
    #[error("there is no database: database_url is off")]
    NoDatabase,
    /// The database, or what else a gateway needs.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The file cannot be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// What is wrong with it, on lines of their own.
    #[error("{} is no configuration that can be used:\n{invalid}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Its mistakes.
        invalid: Box<Invalid>,
    },
    /// A variable in it is not set, or an expression is not understood.
    #[error("{}: {problem}", file.display())]
    Variable {
        /// The file.
        file: PathBuf,
        /// What of it.
        problem: String,
    },
    /// Its `_info.select_tags` are no list of tags.
    #[error("{}: _info.select_tags: expected a list of texts", .0.display())]
    SelectTags(PathBuf),
    /// The database refused an entity.
    #[error("the database refuses the import: {0}")]
    Store(#[from] StoreError),
    /// A file that is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
}

type Result<T, E = FilesError> = std::result::Result<T, E>;

impl Files {
    /// Opens the database that the settings name, to look at it. One that is not there is not made.
    pub fn open(config: &Config) -> Result<Self> {
        let mut config = config.clone();
        if let Database::Sqlite(file) = &config.database
            && !file.exists()
        {
            config.database = Database::Off;
        }
        Self::over(&config, Upkeep::Refuse)
    }

    /// Opens it for a command that has no meaning without a database.
    pub fn of_database(config: &Config, upkeep: Upkeep) -> Result<Self> {
        if config.database == Database::Off { Err(FilesError::NoDatabase) } else { Self::over(config, upkeep) }
    }

    fn over(config: &Config, upkeep: Upkeep) -> Result<Self> {
        super::prepare_folder(&config.data_dir)?;
        let mut control = RuntimeBuilder::new_multi_thread();
        control.worker_threads(2).thread_name("control").enable_all();
        let control = control.build().map_err(system("the control runtime"))?;
        let tasks = Tasks::new(control.handle().clone());
        let (store, registry, desk) = control.block_on(async {
            let base = Foundation::lay(config, upkeep, &tasks, &Arc::new(Metrics::new())).await?;
            // Nothing is deployed here: plugins are asked by code that is loaded for it.
            let desk = Arc::new(Desk::new(base.catalog.clone(), Deployments::default()));
            let everything = base.store.changes_since(&base.registry.load_full(), 0).await?;
            desk.follow(&base.registry, &everything);
            desk.load_all(&*base.store).await?;
            Ok::<_, GatewayError>((base.store, base.registry, desk))
        })?;
        Ok(Self { control, tasks, store, registry, desk })
    }

    /// Checks a file. Answers how many entities it has.
    pub fn check(&self, file: &Path, reading: Reading) -> Result<usize> {
        let content = Content::read(file)?;
        let content = if reading == Reading::Deck { content.substituted()? } else { content };
        Ok(self.resolve(content, reading)?.entities.len())
    }

    /// The configuration of the database as a file.
    pub fn export(&self) -> Result<String> {
        Ok(self.control.block_on(export(&*self.store, &self.registry.load(), &*self.desk))?)
    }

    /// Writes it, with secrets in it, for its owner alone. A failure leaves an old file as it was.
    pub fn export_to(&self, file: &Path) -> Result<()> {
        let text = self.export()?;
        let failed = |error| FilesError::File(file.to_owned(), error);
        let mut aside = file.as_os_str().to_owned();
        aside.push(".new");
        let mut made =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside).map_err(failed)?;
        io::Write::write_all(&mut made, text.as_bytes()).and_then(|()| made.sync_all()).map_err(failed)?;
        fs::rename(&aside, file).map_err(failed)
    }

    /// Brings the database to what the file says, as one version. What is deleted has the tags that the file selects by.
    pub fn import(&self, file: &Path, prune: bool) -> Result<Plan> {
        let (loaded, others) = self.read_for(file, prune)?;
        self.control.block_on(async {
            let mut write = self.store.begin().await?;
            let plan = import(&mut *write, &self.registry.load(), loaded, &others).await?;
            write.commit().await?;
            Ok(plan)
        })
    }

    /// What an import would do.
    pub fn diff(&self, file: &Path, prune: bool) -> Result<Plan> {
        let (loaded, others) = self.read_for(file, prune)?;
        self.control.block_on(async {
            let mut write = self.store.begin().await?;
            Ok(import(&mut *write, &self.registry.load(), loaded, &others).await?)
        })
    }

    /// For an import, with what is to become of the rest.
    fn read_for(&self, file: &Path, prune: bool) -> Result<(Loaded, Others)> {
        let content = Content::read(file)?.substituted()?;
        let others = if prune { Others::Delete(content.select_tags()?) } else { Others::Keep };
        Ok((self.resolve(content, Reading::Deck)?, others))
    }

    fn resolve(&self, content: Content, reading: Reading) -> Result<Loaded> {
        let Content { file, text, syntax } = content;
        let invalid = |invalid| FilesError::Invalid { file: file.clone(), invalid: Box::new(invalid) };
        let (registry, desk) = (self.registry.load_full(), self.desk.clone());
        self.control.block_on(resolve(move || parse(&text, syntax), registry, desk, reading)).map_err(invalid)
    }
}

/// Whether a name stands for standard input or output.
pub fn is_pipe(file: &Path) -> bool {
    file == Path::new("-")
}

/// What was read of a file or of standard input.
struct Content {
    file: PathBuf,
    text: String,
    syntax: Syntax,
}

impl Content {
    fn read(file: &Path) -> Result<Self> {
        let pipe = is_pipe(file);
        let name = if pipe { "standard input".into() } else { file.to_owned() };
        let invalid = |invalid| FilesError::Invalid { file: name.clone(), invalid: Box::new(invalid) };
        let syntax = if pipe { Syntax::Either } else { Syntax::of(file).map_err(invalid)? };
        let read = if pipe { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
        let text = read.map_err(|error| FilesError::File(name.clone(), error))?;
        Ok(Self { file: name, text, syntax })
    }

    /// With decK's `${{ env "NAME" }}` put in.
    fn substituted(mut self) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        match substitute(&self.text, &variable) {
            Ok(text) => self.text = text,
            Err(problem) => return Err(FilesError::Variable { file: self.file, problem }),
        }
        Ok(self)
    }

    /// The tags by which decK selects what the file is about; none if it is about everything. Strict, since what has none of
    /// them may be deleted.
    fn select_tags(&self) -> Result<Vec<String>> {
        let invalid = |invalid| FilesError::Invalid { file: self.file.clone(), invalid: Box::new(invalid) };
        let parsed = parse(&self.text, self.syntax).map_err(invalid)?;
        match parsed.pointer("/_info/select_tags") {
            None | Some(serde_json::Value::Null) => Ok(Vec::new()),
            Some(tags) => Vec::deserialize(tags).map_err(|_| FilesError::SelectTags(self.file.clone())),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        _ = self.control.block_on(self.tasks.drain(super::BACKGROUND_GRACE));
    }
}

/// A plan for people: a line an entity, and below it a line a field.
pub fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    for Change { collection, name, fields } in &plan.changes {
        let sign = if fields.is_some() { '~' } else { '+' };
        _ = writeln!(text, "{sign} {collection} {name}");
        for change in fields.iter().flatten() {
            _ = match &change.values {
                Some((before, after)) => writeln!(text, "    {}: {before} -> {after}", change.field),
                None => writeln!(text, "    {}: (changed; may be secret)", change.field),
            };
        }
    }
    for (collection, name) in &plan.deleted {
        _ = writeln!(text, "- {collection} {name}");
    }
    let added = plan.changes.iter().filter(|change| change.fields.is_none()).count();
    _ = write!(text, "{added} added, {} changed, {} unchanged", plan.changes.len() - added, plan.unchanged);
    if !plan.deleted.is_empty() {
        _ = write!(text, ", {} deleted", plan.deleted.len());
    }
    text
}

/// Writes a sample file, unless there is one.
pub fn write_sample(file: &Path) -> Result<()> {
    let made = fs::OpenOptions::new().write(true).create_new(true).open(file);
    let written = made.and_then(|mut made| io::Write::write_all(&mut made, SAMPLE.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => FilesError::Exists(file.to_owned()),
        _ => FilesError::File(file.to_owned(), error),
    })
}

const SAMPLE: &str = include_str!("sample.yaml");
