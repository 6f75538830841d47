const prefix = 'container.apparmor.security.beta.kubernetes.io/';

/**
 * The container that an AppArmor annotation is about. It is deprecated since Kubernetes 1.30 but still honoured, and one
 * that names a container which the Pod does not have makes the Pod invalid: it must move with its container.
 */
export function appArmorContainer(annotation: string): string | undefined {
  return annotation.startsWith(prefix) ? annotation.slice(prefix.length) : undefined;
}
