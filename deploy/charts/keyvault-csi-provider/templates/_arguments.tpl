{{/* The provider's arguments, one a line. */}}
{{- define "provider.arguments" -}}
{{- $values := .Values -}}
- {{ printf "--endpoint=unix:///provider/%s.sock" $values.providerName | quote }}
- {{ printf "--log-format-json=%t" $values.logFormatJSON | quote }}
- {{ printf "-v=%d" (int $values.logVerbosity) | quote }}
- {{ printf "--healthz-port=%d" (int $values.linux.healthzPort) | quote }}
{{- if $values.linux.hostNetwork }}
- "--healthz-address=127.0.0.1"
{{- end }}
- {{ printf "--healthz-path=%s" $values.linux.healthzPath | quote }}
- {{ printf "--healthz-timeout=%s" $values.linux.healthzTimeout | quote }}
- {{ printf "--prometheus-port=%s" (include "provider.metricsPort" .) | quote }}
{{- with $values.metricsAddress }}
- {{ printf "--metrics-address=%s" . | quote }}
{{- end }}
- {{ printf "--construct-pem-chain=%t" $values.constructPEMChain | quote }}
- {{ printf "--write-cert-and-key-in-separate-files=%t" $values.writeCertAndKeyInSeparateFiles | quote }}
- {{ printf "--file-writer=%s" $values.fileWriter | quote }}
- {{ printf "--drain-timeout=%s" $values.drainTimeout | quote }}
- {{ printf "--rotation-max-age=%s" $values.rotationMaxAge | quote }}
- {{ printf "--rotation-max-age-limit=%s" $values.rotationMaxAgeLimit | quote }}
- {{ printf "--stale-if-error=%s" $values.staleIfError | quote }}
{{- range $vault, $replica := $values.failoverVaults }}
- {{ printf "--failover-vault=%s=%s" $vault $replica | quote }}
{{- end }}
- {{ printf "--cache-max-bytes=%d" (int64 $values.cacheMaxBytes) | quote }}
{{- if eq $values.fileWriter "provider" }}
- {{ printf "--volume-memory-bytes=%d" (int64 $values.volumeMemoryBytes) | quote }}
- "--state-dir=/run/keyvault-csi-provider"
{{- end }}
{{- with $values.auditLog }}
- {{ printf "--audit-log=%s" . | quote }}
{{- end }}
{{- with $values.cloudEnvironmentDir }}
- {{ printf "--cloud-environment-dir=%s" . | quote }}
{{- end }}
{{- if include "provider.policyConfigMap" . }}
- "--policy-file=/etc/keyvault-csi-provider/policy.yaml"
{{- end }}
{{- with include "provider.maxResponseBytes" . }}
- {{ printf "--max-response-bytes=%s" . | quote }}
{{- end }}
{{- with $values.linux.customUserAgent }}
- {{ printf "--custom-user-agent=%s" . | quote }}
{{- end }}
{{- with $values.cloud.name }}
- {{ printf "--cloud-name=%s" . | quote }}
{{- end }}
{{- with $values.defaultTenantID }}
- {{ printf "--default-tenant-id=%s" . | quote }}
{{- end }}
{{- range $values.allowedVaultSuffixes }}
- {{ printf "--allowed-vault-suffix=%s" . | quote }}
{{- end }}
{{- with $values.serviceAccountJwks }}
- {{ printf "--service-account-jwks=%s" . | quote }}
{{- end }}
{{- with $values.serviceAccountIssuer }}
- {{ printf "--service-account-issuer=%s" . | quote }}
{{- end }}
{{- with $values.tokenProxy.url }}
- {{ printf "--token-proxy-url=%s" . | quote }}
{{- end }}
{{- with $values.tokenProxy.serverName }}
- {{ printf "--sni-name=%s" . | quote }}
{{- end }}
{{- end -}}
