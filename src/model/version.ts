/**
 * The etcd whose behaviour this is. Clients choose features by it: Kubernetes parses it as a
 * semantic version, Patroni splits it at the dots and wants integers, so it has no suffix.
 */
export const etcdVersion = "3.6.14";

/** The version a cluster of such members has, and the one of what they store. */
export const clusterVersion = "3.6.0";
