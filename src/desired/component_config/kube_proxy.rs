//! The fields of KubeProxyConfiguration, `kubeproxy.config.k8s.io/v1alpha1`.

use super::logging::LOGGING;
use super::shape::Shape::{Bool, Duration, List, Map, Number, Struct, Text};
use super::shape::{Field, INT32, always, or_null, unless_zero};

pub(super) const KUBE_PROXY: &[Field] = &[
    always("bindAddress", Text),
    always("bindAddressHardFail", Bool),
    always("clientConnection", Struct(CLIENT_CONNECTION)),
    always("clusterCIDR", Text),
    always("configSyncPeriod", Duration),
    always("conntrack", Struct(CONNTRACK)),
    always("detectLocal", Struct(DETECT_LOCAL)).since(24),
    always("detectLocalMode", Text),
    always("enableProfiling", Bool),
    unless_zero("featureGates", Map(&Bool)),
    always("healthzBindAddress", Text),
    always("hostnameOverride", Text),
    always("iptables", Struct(IPTABLES)),
    always("ipvs", Struct(IPVS)),
    always("logging", Struct(LOGGING)).since(28),
    always("metricsBindAddress", Text),
    always("mode", Text),
    always("nftables", Struct(NFTABLES)).since(29),
    always("nodePortAddresses", List(&Text)),
    or_null("oomScoreAdj", INT32),
    always("portRange", Text),
    always("showHiddenMetricsForVersion", Text),
    always("udpIdleTimeout", Duration).until(25),
    unless_zero("windowsRunAsService", Bool).since(31),
    always("winkernel", Struct(WINKERNEL)),
];

const CLIENT_CONNECTION: &[Field] = &[
    always("acceptContentTypes", Text),
    always("burst", INT32),
    always("contentType", Text),
    always("kubeconfig", Text),
    always("qps", Number),
];

const CONNTRACK: &[Field] = &[
    or_null("maxPerCore", INT32),
    or_null("min", INT32),
    always("tcpBeLiberal", Bool).since(29),
    or_null("tcpCloseWaitTimeout", Duration),
    or_null("tcpEstablishedTimeout", Duration),
    always("udpStreamTimeout", Duration).since(29),
    always("udpTimeout", Duration).since(29),
];

const DETECT_LOCAL: &[Field] = &[always("bridgeInterface", Text), always("interfaceNamePrefix", Text)];

const IPTABLES: &[Field] = &[
    or_null("localhostNodePorts", Bool).since(26),
    always("masqueradeAll", Bool),
    or_null("masqueradeBit", INT32),
    always("minSyncPeriod", Duration),
    always("syncPeriod", Duration),
];

const IPVS: &[Field] = &[
    always("excludeCIDRs", List(&Text)),
    always("minSyncPeriod", Duration),
    always("scheduler", Text),
    always("strictARP", Bool),
    always("syncPeriod", Duration),
    always("tcpFinTimeout", Duration),
    always("tcpTimeout", Duration),
    always("udpTimeout", Duration),
];

const NFTABLES: &[Field] = &[
    always("masqueradeAll", Bool),
    or_null("masqueradeBit", INT32),
    always("minSyncPeriod", Duration),
    always("syncPeriod", Duration),
];

const WINKERNEL: &[Field] = &[
    always("enableDSR", Bool),
    always("forwardHealthCheckVip", Bool).since(24),
    always("networkName", Text),
    always("rootHnsEndpointName", Text).since(24),
    always("sourceVip", Text),
];
