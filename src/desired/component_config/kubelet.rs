//! The fields of KubeletConfiguration, `kubelet.config.k8s.io/v1beta1`.

use super::logging::LOGGING;
use super::shape::Shape::{Bool, Duration, List, Map, Number, Quantity, Struct, Text};
use super::shape::{Field, INT32, INT64, always, if_given, unless_zero};

pub(super) const KUBELET: &[Field] = &[
    unless_zero("address", Text),
    unless_zero("allowedUnsafeSysctls", List(&Text)),
    always("authentication", Struct(AUTHENTICATION)),
    always("authorization", Struct(AUTHORIZATION)),
    unless_zero("cgroupDriver", Text),
    unless_zero("cgroupRoot", Text),
    if_given("cgroupsPerQOS", Bool),
    unless_zero("clusterDNS", List(&Text)),
    unless_zero("clusterDomain", Text),
    unless_zero("configMapAndSecretChangeDetectionStrategy", Text),
    if_given("containerLogMaxFiles", INT32),
    unless_zero("containerLogMaxSize", Text),
    if_given("containerLogMaxWorkers", INT32).since(30),
    if_given("containerLogMonitorInterval", Duration).since(30),
    always("containerRuntimeEndpoint", Text).since(27),
    unless_zero("contentType", Text),
    if_given("cpuCFSQuota", Bool),
    if_given("cpuCFSQuotaPeriod", Duration),
    unless_zero("cpuManagerPolicy", Text),
    unless_zero("cpuManagerPolicyOptions", Map(&Text)).since(22),
    always("cpuManagerReconcilePeriod", Duration),
    always("crashLoopBackOff", Struct(CRASH_LOOP_BACK_OFF_CONFIG)).since(32),
    unless_zero("enableContentionProfiling", Bool),
    if_given("enableControllerAttachDetach", Bool),
    if_given("enableDebugFlagsHandler", Bool).since(21),
    if_given("enableDebuggingHandlers", Bool),
    if_given("enableProfilingHandler", Bool).since(21),
    if_given("enableServer", Bool),
    if_given("enableSystemLogHandler", Bool),
    if_given("enableSystemLogQuery", Bool).since(27),
    unless_zero("enforceNodeAllocatable", List(&Text)),
    unless_zero("eventBurst", INT32),
    if_given("eventRecordQPS", INT32),
    unless_zero("evictionHard", Map(&Text)),
    unless_zero("evictionMaxPodGracePeriod", INT32),
    unless_zero("evictionMinimumReclaim", Map(&Text)),
    always("evictionPressureTransitionPeriod", Duration),
    unless_zero("evictionSoft", Map(&Text)),
    unless_zero("evictionSoftGracePeriod", Map(&Text)),
    if_given("failCgroupV1", Bool).since(31),
    if_given("failSwapOn", Bool),
    unless_zero("featureGates", Map(&Bool)),
    always("fileCheckFrequency", Duration),
    unless_zero("hairpinMode", Text),
    unless_zero("healthzBindAddress", Text),
    if_given("healthzPort", INT32),
    always("httpCheckFrequency", Duration),
    if_given("imageGCHighThresholdPercent", INT32),
    if_given("imageGCLowThresholdPercent", INT32),
    always("imageMaximumGCAge", Duration).since(29),
    always("imageMinimumGCAge", Duration),
    unless_zero("imagePullCredentialsVerificationPolicy", Text).since(33),
    unless_zero("imageServiceEndpoint", Text).since(27),
    if_given("iptablesDropBit", INT32),
    if_given("iptablesMasqueradeBit", INT32),
    unless_zero("kernelMemcgNotification", Bool),
    unless_zero("kubeAPIBurst", INT32),
    if_given("kubeAPIQPS", INT32),
    unless_zero("kubeletCgroups", Text),
    unless_zero("kubeReserved", Map(&Text)),
    unless_zero("kubeReservedCgroup", Text),
    if_given("localStorageCapacityIsolation", Bool).since(25),
    always("logging", Struct(LOGGING)),
    if_given("makeIPTablesUtilChains", Bool),
    unless_zero("maxOpenFiles", INT64),
    if_given("maxParallelImagePulls", INT32).since(27),
    unless_zero("maxPods", INT32),
    unless_zero("memoryManagerPolicy", Text).since(21),
    unless_zero("memoryReservationPolicy", Text).since(36),
    always("memorySwap", Struct(MEMORY_SWAP)).since(22),
    if_given("memoryThrottlingFactor", Number).since(22),
    if_given("mergeDefaultEvictionSettings", Bool).since(33),
    unless_zero("nodeLeaseDurationSeconds", INT32),
    if_given("nodeStatusMaxImages", INT32),
    always("nodeStatusReportFrequency", Duration),
    always("nodeStatusUpdateFrequency", Duration),
    if_given("oomScoreAdj", INT32),
    unless_zero("podCIDR", Text),
    unless_zero("podLogsDir", Text).since(30),
    if_given("podPidsLimit", INT64),
    unless_zero("podsPerCore", INT32),
    unless_zero("port", INT32),
    unless_zero("preloadedImagesVerificationAllowlist", List(&Text)).since(33),
    unless_zero("protectKernelDefaults", Bool),
    unless_zero("providerID", Text),
    unless_zero("qosReserved", Map(&Text)),
    unless_zero("readOnlyPort", INT32),
    if_given("registerNode", Bool).since(23),
    unless_zero("registerWithTaints", List(&Struct(TAINT))).since(23),
    unless_zero("registryBurst", INT32),
    if_given("registryPullQPS", INT32),
    unless_zero("reservedMemory", List(&Struct(MEMORY_RESERVATION))).since(21),
    unless_zero("reservedSystemCPUs", Text),
    if_given("resolvConf", Text),
    unless_zero("rotateCertificates", Bool),
    unless_zero("runOnce", Bool),
    always("runtimeRequestTimeout", Duration),
    if_given("seccompDefault", Bool).since(22),
    if_given("serializeImagePulls", Bool),
    unless_zero("serverTLSBootstrap", Bool),
    unless_zero("showHiddenMetricsForVersion", Text),
    always("shutdownGracePeriod", Duration),
    unless_zero("shutdownGracePeriodByPodPriority", List(&Struct(SHUTDOWN_GRACE_PERIOD_BY_POD_PRIORITY))).since(23),
    always("shutdownGracePeriodCriticalPods", Duration),
    if_given("singleProcessOOMKill", Bool).since(32),
    unless_zero("staticPodPath", Text),
    unless_zero("staticPodURL", Text),
    unless_zero("staticPodURLHeader", Map(&List(&Text))),
    always("streamingConnectionIdleTimeout", Duration),
    always("syncFrequency", Duration),
    unless_zero("systemCgroups", Text),
    unless_zero("systemReserved", Map(&Text)),
    unless_zero("systemReservedCgroup", Text),
    unless_zero("tlsCertFile", Text),
    unless_zero("tlsCipherSuites", List(&Text)),
    unless_zero("tlsCurvePreferences", List(&INT32)).since(36),
    unless_zero("tlsMinVersion", Text),
    unless_zero("tlsPrivateKeyFile", Text),
    unless_zero("topologyManagerPolicy", Text),
    unless_zero("topologyManagerPolicyOptions", Map(&Text)).since(26),
    unless_zero("topologyManagerScope", Text),
    if_given("tracing", Struct(TRACING)).since(25),
    if_given("userNamespaces", Struct(USER_NAMESPACES)).since(33),
    unless_zero("volumePluginDir", Text),
    always("volumeStatsAggPeriod", Duration),
];

const AUTHENTICATION: &[Field] = &[
    always("anonymous", Struct(ANONYMOUS_AUTHENTICATION)),
    always("webhook", Struct(WEBHOOK_AUTHENTICATION)),
    always("x509", Struct(X509_AUTHENTICATION)),
];

const X509_AUTHENTICATION: &[Field] = &[unless_zero("clientCAFile", Text)];

const WEBHOOK_AUTHENTICATION: &[Field] = &[always("cacheTTL", Duration), if_given("enabled", Bool)];

const ANONYMOUS_AUTHENTICATION: &[Field] = &[if_given("enabled", Bool)];

const AUTHORIZATION: &[Field] = &[unless_zero("mode", Text), always("webhook", Struct(WEBHOOK_AUTHORIZATION))];

const WEBHOOK_AUTHORIZATION: &[Field] =
    &[always("cacheAuthorizedTTL", Duration), always("cacheUnauthorizedTTL", Duration)];

const MEMORY_RESERVATION: &[Field] = &[always("limits", Map(&Quantity)), always("numaNode", INT32)];

const SHUTDOWN_GRACE_PERIOD_BY_POD_PRIORITY: &[Field] =
    &[always("priority", INT32), always("shutdownGracePeriodSeconds", INT64)];

const MEMORY_SWAP: &[Field] = &[unless_zero("swapBehavior", Text)];

const CRASH_LOOP_BACK_OFF_CONFIG: &[Field] = &[if_given("maxContainerRestartPeriod", Duration)];

const USER_NAMESPACES: &[Field] = &[if_given("idsPerPod", INT64)];

const TRACING: &[Field] = &[if_given("endpoint", Text), if_given("samplingRatePerMillion", INT32)];

/// A Taint of the core API.
const TAINT: &[Field] =
    &[always("effect", Text), always("key", Text), if_given("timeAdded", Text), unless_zero("value", Text)];
