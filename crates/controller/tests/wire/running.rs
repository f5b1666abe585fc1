//! A controller at work on the recording server, and what it wrote there.

use super::*;

/// A controller at work on a recording server.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) controller: Arc<Controller>,
    _tasks: JoinSet<anyhow::Result<()>>,
    _workers: JoinSet<()>,
}

impl Running {
    pub(crate) fn start(server: &Server) -> Self {
        Self::start_at(server, standing_clock())
    }

    /// With a clock of one's own.
    pub(crate) fn start_at(server: &Server, clock: Clock) -> Self {
        Self::start_in(server, clock, "")
    }

    /// Looking after one namespace only, or after all of them when it is empty.
    pub(crate) fn start_in(server: &Server, clock: Clock, namespace: &str) -> Self {
        let metrics = Metrics::default();
        let (controller, recorded) = Controller::new(
            server.client(&metrics.requests),
            namespace,
            metrics,
            Features::default(),
            clock,
            Arc::new(|| 7),
        );
        let mut tasks = JoinSet::new();
        controller.spawn_cache(&mut tasks);
        controller.spawn_events(&mut tasks, "test", recorded);
        let mut workers = JoinSet::new();
        controller.spawn_workers(&mut workers, 3);
        controller
            .leadership
            .extend(Instant::now() + Duration::from_hours(1000));
        Self {
            server: server.clone(),
            controller: Arc::new(controller),
            _tasks: tasks,
            _workers: workers,
        }
    }

    /// Waits until nothing was written for ten seconds.
    pub(crate) async fn settle(&self) {
        let mut last = (Instant::now(), self.writes().len());
        let start = Instant::now();
        while last.0.elapsed() < Duration::from_secs(10) {
            assert!(
                start.elapsed() < Duration::from_hours(1),
                "never settles: {:#?}",
                self.writes().last()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            let writes = self.writes().len();
            if writes != last.1 {
                last = (Instant::now(), writes);
            }
        }
    }

    pub(crate) fn writes(&self) -> Vec<Recorded> {
        self.server
            .requests()
            .into_iter()
            .filter(|request| request.method != Method::GET)
            .collect()
    }

    pub(crate) fn count(&self, method: &Method, resource: &str) -> usize {
        self.writes()
            .iter()
            .filter(|request| request.writes(method, resource))
            .count()
    }

    /// The object with this namespace and name.
    pub(crate) fn object(&self, collection: &str, key: &str) -> Value {
        let state = self.server.state.lock().unwrap();
        state.objects[collection][key].clone()
    }

    /// The requests for lists so far.
    pub(crate) fn lists(&self) -> usize {
        let requests = self.server.requests();
        let lists = requests.iter().filter(|request| {
            request.method == Method::GET
                && request.path.contains("limit=")
                && !request.path.contains("watch=")
        });
        lists.count()
    }

    pub(crate) fn metrics(&self) -> String {
        (self.controller.admin().metrics)(Format::Classic)
    }

    pub(crate) fn status(&self) -> Value {
        self.server.objects("clonesets")[0]["status"].clone()
    }

    /// The condition of this type; null when there is none.
    pub(crate) fn condition(&self, type_: &str) -> Value {
        let status = self.status();
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .find(|c| c["type"] == type_)
            .cloned()
            .unwrap_or_default()
    }

    /// Every condition: "Ready=True".
    pub(crate) fn conditions(&self) -> Vec<String> {
        let status = self.status();
        let told = |c: &Value| {
            format!(
                "{}={}",
                c["type"].as_str().unwrap(),
                c["status"].as_str().unwrap()
            )
        };
        status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(told)
            .collect()
    }
}
