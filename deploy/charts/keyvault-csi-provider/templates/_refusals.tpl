{{/*
Refuses values that cannot work, all of them at once, each with its mend. What a type or a range says,
values.schema.json has refused before.
*/}}
{{- define "provider.refuse" -}}
{{- $found := concat
  ((include "refuse.goChart" .) | fromJsonArray)
  ((include "refuse.formats" .) | fromJsonArray)
  ((include "refuse.pairs" .) | fromJsonArray)
  ((include "refuse.driver" .) | fromJsonArray) -}}
{{- with $found -}}
{{- printf "\n\n  %s\n" (join "\n  " .) | fail -}}
{{- end -}}
{{- end -}}

{{/* Values of the Go provider's chart that this provider has nothing for. */}}
{{- define "refuse.goChart" -}}
{{- $found := list -}}
{{- $image := .Values.linux.image.repository -}}
{{- if .Values.windows.enabled -}}
{{- $found = append $found "windows.enabled: there is no provider for Windows nodes; leave it false, and serve them with the Go provider's chart (linux.enabled=false there)" -}}
{{- end -}}
{{- if .Values.enableArcExtension -}}
{{- $found = append $found "enableArcExtension: the extension of Azure Arc brings its own provider; leave it false" -}}
{{- end -}}
{{- if .Values.rbac.pspEnabled -}}
{{- $found = append $found "rbac.pspEnabled: Kubernetes has no PodSecurityPolicy since 1.25; leave it false" -}}
{{- end -}}
{{- if .Values.cloud.environment -}}
{{- $found = append $found "cloud.environment: a class names its cloud's environment file itself, with the parameter cloudEnvFileName; mount the file with linux.volumes and linux.volumeMounts" -}}
{{- end -}}
{{- if and (hasSuffix "secrets-store/provider-azure" $image) (ne (include "provider.goImage" .) "true") -}}
{{- $found = append $found (printf "linux.image.repository: %s is the Go provider's image; name this provider's" $image) -}}
{{- end -}}
{{- if and (not .Values.linux.image.digest) (regexMatch "^v1[.][0-9]+[.][0-9]+" (toString .Values.linux.image.tag)) (ne (include "provider.goImage" .) "true") -}}
{{- $found = append $found (printf "linux.image.tag: %s is a version of the Go provider, which your values pin; add --set linux.image.tag= (the tag is then %s), or name a tag of this provider's image" (toString .Values.linux.image.tag) .Chart.AppVersion) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "refuse.formats" -}}
{{- $found := list -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$" .Values.providerName) -}}
{{- $found = append $found (printf "providerName: %q cannot name a socket and a DaemonSet; write 1 to 30 of a-z, 0-9 and -" .Values.providerName) -}}
{{- end -}}
{{- $port := include "provider.metricsPort" . -}}
{{- if not (and (regexMatch "^[0-9]{1,5}$" $port) (le (int $port) 65535)) -}}
{{- $found = append $found (printf "metricsAddr: %q is not a port; write one such as 8898, or 0 for none" (toString .Values.metricsAddr)) -}}
{{- else if eq (int $port) (int .Values.linux.healthzPort) -}}
{{- $found = append $found "metricsAddr and linux.healthzPort: one port cannot serve both" -}}
{{- end -}}
{{- if or (lt (int .Values.linux.healthzPort) 1) (gt (int .Values.linux.healthzPort) 65535) -}}
{{- $found = append $found (printf "linux.healthzPort: %d is not a port; write one such as 8989" (int .Values.linux.healthzPort)) -}}
{{- end -}}
{{- if gt (int .Values.logVerbosity) 10 -}}
{{- $found = append $found (printf "logVerbosity: %d is more than 10, the most that there is" (int .Values.logVerbosity)) -}}
{{- end -}}
{{- range $name, $duration := dict
  "linux.healthzTimeout" .Values.linux.healthzTimeout
  "drainTimeout" .Values.drainTimeout
  "rotationMaxAge" .Values.rotationMaxAge
  "rotationMaxAgeLimit" .Values.rotationMaxAgeLimit
  "staleIfError" .Values.staleIfError -}}
{{- if not (regexMatch "^([0-9]{1,9}(ms|h|m|s))+$" $duration) -}}
{{- $found = append $found (printf "%s: %q is not a duration; write one such as 30s, 1m30s or 24h" $name $duration) -}}
{{- end -}}
{{- end -}}
{{- range $name, $path := dict
  "linux.healthzPath" .Values.linux.healthzPath
  "linux.kubeletRootDir" .Values.linux.kubeletRootDir
  "linux.providersDir" .Values.linux.providersDir -}}
{{- if not (regexMatch "^/[-A-Za-z0-9._~/]*$" $path) -}}
{{- $found = append $found (printf "%s: %q is not an absolute path" $name $path) -}}
{{- end -}}
{{- end -}}
{{- with .Values.cloud.name -}}
{{- if not (regexMatch "(?i)^Azure(PublicCloud|Cloud|USGovernmentCloud|USGovernment|ChinaCloud|GermanCloud|StackCloud)$" .) -}}
{{- $found = append $found (printf "cloud.name: %q is not a cloud; use AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureGermanCloud or AzureStackCloud" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.defaultTenantID -}}
{{- if not (regexMatch "^[A-Za-z0-9.-]{1,253}$" .) -}}
{{- $found = append $found (printf "defaultTenantID: %q is not a tenant; give its id, as `az account show --query tenantId` prints it" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.allowedVaultSuffixes -}}
{{- if not (regexMatch "^[.]?[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*(:[0-9]+)?$" .) -}}
{{- $found = append $found (printf "allowedVaultSuffixes: %q is not a DNS suffix; write one like vault.azure.net" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.tokenProxy.url -}}
{{- if not (regexMatch "^https://[^/ ]+" .) -}}
{{- $found = append $found (printf "tokenProxy.url: %q is not an https URL" .) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Values that stand against one another. */}}
{{- define "refuse.pairs" -}}
{{- $found := list -}}
{{- if ne (empty .Values.serviceAccountJwks) (empty .Values.serviceAccountIssuer) -}}
{{- $found = append $found "serviceAccountJwks and serviceAccountIssuer must be set together: keys prove only the tokens of their issuer" -}}
{{- end -}}
{{- if and .Values.policy.rules .Values.policy.configMap -}}
{{- $found = append $found "policy.rules and policy.configMap: there is one policy; keep one of the two" -}}
{{- end -}}
{{- $age := include "provider.seconds" .Values.rotationMaxAge | int64 -}}
{{- $limit := include "provider.seconds" .Values.rotationMaxAgeLimit | int64 -}}
{{- if gt $age $limit -}}
{{- $found = append $found (printf "rotationMaxAge: %s is more than rotationMaxAgeLimit (%s)" .Values.rotationMaxAge .Values.rotationMaxAgeLimit) -}}
{{- end -}}
{{- if and (ne .Values.monitoring.scrape "none") (eq (include "provider.metricsPort" .) "0") -}}
{{- $found = append $found (printf "monitoring.scrape: %s finds no metrics, since metricsAddr is 0; name a port there, or set scrape to none" .Values.monitoring.scrape) -}}
{{- end -}}
{{- $rolling := (.Values.linux.updateStrategy).rollingUpdate | default dict -}}
{{- if and .Values.linux.hostNetwork $rolling.maxSurge (ne (toString $rolling.maxSurge) "0") -}}
{{- $found = append $found "linux.updateStrategy: by surge two pods share a node for a while, which linux.hostNetwork=true forbids; set it to false, or leave maxSurge out" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* What the driver that this chart installs must agree to. */}}
{{- define "refuse.driver" -}}
{{- $found := list -}}
{{- $driver := index .Values "secrets-store-csi-driver" -}}
{{- if $driver.install -}}
{{- $folders := concat (list $driver.linux.providersDir) ($driver.linux.additionalProvidersDirs | default list) -}}
{{- if not (has .Values.linux.providersDir $folders) -}}
{{- $found = append $found (printf "linux.providersDir: the driver looks for sockets in %s, not in %s" (join " and " $folders) .Values.linux.providersDir) -}}
{{- end -}}
{{- if and (eq .Values.fileWriter "provider") (ne (include "provider.kubeletRootDir" .) $driver.linux.kubeletRootDir) -}}
{{- $found = append $found (printf "linux.kubeletRootDir: it is %s here and %s in secrets-store-csi-driver.linux; kubelet has one" .Values.linux.kubeletRootDir $driver.linux.kubeletRootDir) -}}
{{- end -}}
{{- if and $driver.enableSecretRotation (include "provider.oldDriver" .) -}}
{{- $found = append $found (printf "secrets-store-csi-driver.linux.image.tag: a driver %s cannot rotate with the permissions that the driver's chart 1.6 gives; leave the driver's images out of your values" $driver.linux.image.tag) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* "true" if the values pin a driver before the one that the driver's chart is made for. */}}
{{- define "provider.oldDriver" -}}
{{- $tag := (index .Values "secrets-store-csi-driver").linux.image.tag | toString -}}
{{- if regexMatch "^v?(0|1[.][0-5])[.]" $tag -}}true{{- end -}}
{{- end -}}
