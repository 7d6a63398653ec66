{{/*
Values of the Go chart that were given as strings become booleans and numbers. That chart has no schema and prints its
values as they are, and --set-string and GitOps tools make strings of them.
*/}}
{{- define "provider.scalars" -}}
{{- $booleans := list
  "logFormatJSON" "constructPEMChain" "writeCertAndKeyInSeparateFiles" "enableArcExtension"
  "rbac.install" "rbac.pspEnabled" "linux.enabled" "linux.hostNetwork" "linux.privileged" "windows.enabled" -}}
{{- range $path := concat $booleans (list "logVerbosity" "linux.healthzPort") -}}
{{- $keys := splitList "." $path -}}
{{- $map := $.Values -}}
{{- range $key := initial $keys -}}
{{- $map = index $map $key | default dict -}}
{{- end -}}
{{- $last := last $keys -}}
{{- if hasKey $map $last -}}
{{- $text := index $map $last | toString -}}
{{- if has $path $booleans -}}
{{- $_ := set $map $last (eq (lower $text) "true") -}}
{{- else -}}
{{- $_ := set $map $last (int $text) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
