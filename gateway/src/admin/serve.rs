//! One request to the Admin API, from its path to the headers of its answer.

use std::time::Instant;

use axum::{body::Body, extract::State};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::oneshot;

use super::{
    access,
    answer::Answer,
    audit,
    call::Call,
    cluster,
    context::Context,
    debug, declarative, entities, explain,
    failure::{Failure, message},
    info, marks, modules, openapi,
    resource::Resource,
    rollback, schemas, tags, targets, transactions, versions,
    wishes::{self, VERSION, Wishes},
};
use crate::config::AnswerHeaders;

/// Kong's name, which clients read.
const LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");

/// Which of the two APIs answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Admin,
    Status,
}

/// The Admin API.
pub(super) async fn admin(State(context): State<Context>, request: Request<Body>) -> Response<Body> {
    answer(Side::Admin, context, request).await
}

/// The Status API.
pub(super) async fn status(State(context): State<Context>, request: Request<Body>) -> Response<Body> {
    answer(Side::Status, context, request).await
}

async fn answer(side: Side, context: Context, request: Request<Body>) -> Response<Body> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return respond(side, context, request).await;
    }
    // A client that hangs up drops this future: a write that is being committed must still be told to those who serve.
    let (tasks, (sender, receiver)) = (context.tasks.clone(), oneshot::channel());
    tasks.spawn("admin request", async move { _ = sender.send(respond(side, context, request).await) });
    let ending = || message(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending").into_response(false);
    receiver.await.unwrap_or_else(|_| ending())
}

async fn respond(side: Side, context: Context, request: Request<Body>) -> Response<Body> {
    let begin = Instant::now();
    let (server, said) = (format!("sandgate/{}", context.node.version), context.node.headers);
    let mut call = Call::new(context, request);
    let answer = dispatch(side, &mut call).await.unwrap_or_else(Failure::into_answer);
    audit::refused(&call, answer.status);
    let mut answer = wishes::fulfil(&call, answer).await;
    if let Some(version) = answer.version.filter(|_| wishes::may_hear(&call)) {
        answer.set(VERSION, version.into());
    }
    if said.has(AnswerHeaders::ADMIN_LATENCY) {
        answer.set(LATENCY, u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX).into());
    }
    if said.has(AnswerHeaders::SERVER) {
        answer.set(header::SERVER, HeaderValue::try_from(server).unwrap_or(HeaderValue::from_static("sandgate")));
    }
    match side {
        Side::Admin => access::cross_origin(&call.context.access, &call.door, call.headers(), &mut answer),
        Side::Status => answer.set(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    }
    answer.into_response(call.method == Method::HEAD)
}

async fn dispatch(side: Side, call: &mut Call) -> Result<Answer, Failure> {
    call.check()?;
    // Browsers ask this first, and never show who they are with it.
    if call.method != Method::OPTIONS && needs_identity(side, call) && call.part_of.is_none() {
        call.identify()?;
    }
    // An operation of a transaction shares the place of the whole, which waits for it.
    let _place = if call.part_of.is_none() { Some(call.context.limits.place().await?) } else { None };
    let segments = call.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match side {
        Side::Admin => Resource::find(&call.registry, &segments),
        Side::Status => Resource::find_status(&segments).or_else(|| targets_to_read(call, &segments)),
    };
    let resource = found.ok_or(Failure::NotFound)?.meant_by(&call.method, &call.registry);
    if call.method == Method::OPTIONS {
        return Ok(options(call, &resource));
    }
    // A reference cannot be deleted through its child; Kong says so only where there is one.
    let follows = call.method == Method::DELETE && matches!(resource, Resource::Referenced(..));
    if !follows && !resource.takes(&call.method) {
        return Err(Failure::Method);
    }
    if needs_identity(side, call) {
        call.authorize(&resource, &segments)?;
    }
    transactions::check(call, &resource)?;
    call.wishes = Wishes::read(call, &resource)?;
    let tried = call.wishes.dry_run;
    let method = call.method.clone();
    let answer = serve(call, resource).await.map_err(|failure| failure.to(&method))?;
    // A dry run that came so far found nothing to do, or a reason not to.
    if tried && answer.status.is_success() { wishes::nothing_to_do(call).await } else { Ok(answer) }
}

/// One operation of a transaction: dispatched and authorized like a request of its own.
pub(super) async fn operation(call: &mut Call) -> Result<Answer, Failure> {
    dispatch(Side::Admin, call).await
}

/// The Status API on this machine is open, and so is the question whether the node is ready, which load balancers ask.
fn needs_identity(side: Side, call: &Call) -> bool {
    side == Side::Admin || (call.door.public && call.path != "/status/ready")
}

/// How targets fare, which the Status API says as well where no database holds them.
fn targets_to_read(call: &Call, segments: &[&str]) -> Option<Resource> {
    let named = matches!(segments, ["upstreams", _, "health"] | ["upstreams", _, "targets", ..]);
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    (named && reads && !call.context.node.has_database()).then(|| Resource::find(&call.registry, segments)).flatten()
}

async fn serve(call: &mut Call, resource: Resource) -> Result<Answer, Failure> {
    match resource {
        Resource::Root => info::root(call).await,
        Resource::Status => info::status(call).await,
        Resource::Ready => Ok(info::ready(call)),
        Resource::Metrics => Ok(info::metrics(call)),
        Resource::OpenApi => Ok(openapi::document(call)),
        Resource::Endpoints => Ok(info::endpoints(call)),
        Resource::EnabledPlugins => Ok(info::enabled_plugins(call)),
        Resource::Config => declarative::config(call).await,
        Resource::Dns => Ok(debug::dns()),
        Resource::Timers => Ok(debug::timers(call)),
        Resource::Cache | Resource::CacheKey => debug::cache(call),
        Resource::LogLevel => Ok(debug::log_level(call)),
        Resource::SetLogLevel(level) => debug::set_log_level(call, &level).await,
        Resource::ControlPlaneOnly => Err(Failure::Bad(
            "this endpoint is only available when Kong is configured to run as Control Plane for the cluster"
                .to_owned(),
        )),
        Resource::Tags => tags::list(call, None).await,
        Resource::Tag(tag) => tags::list(call, Some(&tag)).await,
        Resource::EntitySchema(name) => schemas::entity(call, &name),
        Resource::PluginSchema(name) => schemas::plugin(call, &name),
        Resource::PluginConfigSchema(name) => schemas::plugin_config(call, &name),
        Resource::VaultSchema(kind) => schemas::vault(call, &kind),
        Resource::FilterSchema(name) => Err(Failure::NotFoundNamed(format!("Filter '{name}' not found"))),
        Resource::WasmOnly => Err(Failure::Bad("this endpoint is only available when wasm is enabled".to_owned())),
        Resource::ValidateEntity(name) => schemas::validate_entity(call, &name).await,
        Resource::ValidatePlugin => schemas::validate_plugin(call).await,
        Resource::Collection(collection) => entities::collection(call, collection).await,
        Resource::Entity(collection, key) => entities::entity(call, collection, &key).await,
        Resource::Children(nested) if &*nested.child.name == "targets" && call.method != Method::POST => {
            targets::newest_first(call, &nested).await
        }
        Resource::Children(nested) => entities::children(call, nested).await,
        Resource::Child(nested, key) => entities::child(call, nested, &key).await,
        Resource::Referenced(collection, key, reference) => {
            entities::referenced(call, collection, &key, reference).await
        }
        Resource::AllTargets(nested) => targets::all(call, &nested).await,
        Resource::Health(upstream) => targets::health(call, &upstream).await,
        Resource::TargetHealth(mark) => marks::set(call, &mark).await,
        Resource::Access(collection) => access::collection(call, collection).await,
        Resource::AccessOne(collection, key) => access::entity(call, collection, &key).await,
        Resource::Who => Ok(access::who(call)),
        Resource::Modules => modules::all(call).await,
        Resource::Module(key) => modules::one(call, &key).await,
        Resource::ModuleCode(key) => modules::code(call, &key).await,
        Resource::Versions => versions::list(call).await,
        Resource::Version(version) => versions::one(call, &version).await,
        Resource::VersionDiff(from, to) => versions::diff(call, &from, &to).await,
        Resource::Rollback(version) => rollback::run(call, &version).await,
        Resource::Transactions => transactions::run(call).await,
        Resource::Audit => audit::list(call).await,
        Resource::Cluster => cluster::list(call).await,
        Resource::Explain => explain::explain(call).await,
    }
}

fn options(call: &Call, resource: &Resource) -> Answer {
    let methods = HeaderValue::try_from(resource.allowed().join(", ")).unwrap_or(HeaderValue::from_static("GET"));
    let asked = call.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut answer = Answer::empty(StatusCode::NO_CONTENT);
    answer.set(header::ALLOW, methods.clone());
    answer.set(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    answer.set(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static("Content-Type")));
    answer
}
