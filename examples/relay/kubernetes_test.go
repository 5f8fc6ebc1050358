package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// manifests are what is in the folder kubernetes.
type manifests struct {
	deployment appsv1.Deployment
	budget     policyv1.PodDisruptionBudget
	account    corev1.ServiceAccount
	service    corev1.Service
	policy     networkingv1.NetworkPolicy
}

// readManifests decodes every file into the type that it says it is: an unknown field is an error, and so is one that comes twice.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	m := &manifests{}
	types := map[string]any{
		"apps/v1 Deployment":                 &m.deployment,
		"policy/v1 PodDisruptionBudget":      &m.budget,
		"v1 ServiceAccount":                  &m.account,
		"v1 Service":                         &m.service,
		"networking.k8s.io/v1 NetworkPolicy": &m.policy,
	}
	files, err := filepath.Glob("kubernetes/*")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var is metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal(text, &is), file)
		kind := is.APIVersion + " " + is.Kind
		require.Contains(t, types, kind, "%s is of a kind that no other file has", file)
		require.NoError(t, yaml.UnmarshalStrict(text, types[kind]), file)
		delete(types, kind)
	}
	require.Empty(t, types, "every kind is there")
	return m
}

// What readManifests counts on: a mistake in a field's name is found.
func TestManifestsAreDecodedStrictly(t *testing.T) {
	text, err := os.ReadFile("kubernetes/deployment.yaml")
	require.NoError(t, err)
	for _, c := range []struct{ right, wrong, says string }{
		{"terminationGracePeriodSeconds:", "terminationGracePeriod:", `unknown field "terminationGracePeriod"`},
		{"readinessProbe:", "readynessProbe:", `unknown field "readynessProbe"`},
		{"replicas: 3", "replicas: 3\n  replicas: 4", "already set in map"},
		{"replicas: 3", "replicas: three", "cannot unmarshal string"},
	} {
		require.Contains(t, string(text), c.right)
		var d appsv1.Deployment
		assert.ErrorContains(t, yaml.UnmarshalStrict([]byte(strings.Replace(string(text), c.right, c.wrong, 1)), &d), c.says)
	}
}

func TestManifestsGoTogether(t *testing.T) {
	m := readManifests(t)
	pod := m.deployment.Spec.Template
	selects := func(s *metav1.LabelSelector, what string) {
		selector, err := metav1.LabelSelectorAsSelector(s)
		require.NoError(t, err)
		assert.False(t, selector.Empty(), "%s doesn't select everything", what)
		assert.True(t, selector.Matches(labels.Set(pod.Labels)), "%s selects the relays", what)
	}
	selects(m.deployment.Spec.Selector, "the deployment")
	selects(m.budget.Spec.Selector, "the budget")
	selects(&metav1.LabelSelector{MatchLabels: m.service.Spec.Selector}, "the service")
	selects(&m.policy.Spec.PodSelector, "the policy")
	for _, c := range pod.Spec.TopologySpreadConstraints {
		selects(c.LabelSelector, c.TopologyKey)
	}
	assert.Equal(t, m.account.Name, pod.Spec.ServiceAccountName)
	for _, token := range []*bool{m.account.AutomountServiceAccountToken, pod.Spec.AutomountServiceAccountToken} {
		require.NotNil(t, token)
		assert.False(t, *token, "a relay has nothing to ask of Kubernetes")
	}

	replicas := int(*m.deployment.Spec.Replicas)
	assert.Equal(t, 3, replicas)
	require.Nil(t, m.budget.Spec.MinAvailable)
	missing, err := intstr.GetScaledValueFromIntOrPercent(m.budget.Spec.MaxUnavailable, replicas, true)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, missing, 1, "a node can be emptied")
	assert.Less(t, missing, replicas, "but never without a relay")

	port := only(t, pod.Spec.Containers).Ports[0]
	assert.Equal(t, port.Name, only(t, m.service.Spec.Ports).TargetPort.StrVal)
	assert.Equal(t, port.ContainerPort, m.service.Spec.Ports[0].Port)
	assert.Equal(t, port.Name, m.policy.Spec.Ingress[0].Ports[0].Port.StrVal)
}

func only[T any](t *testing.T, all []T) T {
	t.Helper()
	require.Len(t, all, 1)
	return all[0]
}

// environment is what the manifest sets for the relay, but for what isn't the relay's.
func environment(t *testing.T, c corev1.Container) (environ []string) {
	for _, e := range c.Env {
		require.Nil(t, e.ValueFrom, "%s is set as it stands here", e.Name)
		if strings.HasPrefix(e.Name, variablePrefix) {
			environ = append(environ, e.Name+"="+e.Value)
		}
	}
	return environ
}

// inMount returns the environment with the files of a mounted secret, which it makes in a folder of their own.
func inMount(t *testing.T, environ []string, mount corev1.VolumeMount) []string {
	folder := t.TempDir()
	for name, text := range map[string]string{"queue": "amqp://relay:password@rabbitmq:5672/", "secret": secret.Reveal()} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	moved := make([]string, len(environ))
	for i, e := range environ {
		moved[i] = strings.Replace(e, "="+mount.MountPath+"/", "="+folder+"/", 1)
	}
	return moved
}

func TestDeploymentFitsTheProgram(t *testing.T) {
	pod := readManifests(t).deployment.Spec.Template.Spec
	relay := only(t, pod.Containers)
	c, err := readConfig(inMount(t, environment(t, relay), only(t, relay.VolumeMounts)))
	require.NoError(t, err, "the relay knows every variable and likes its value")

	require.NotNil(t, pod.TerminationGracePeriodSeconds)
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	assert.GreaterOrEqual(t, grace, c.drain+10*time.Second, "there is time for the drain, and to close the queue")
	require.NotNil(t, pod.EnableServiceLinks)
	assert.False(t, *pod.EnableServiceLinks, "no variables but its own")

	port := only(t, relay.Ports)
	_, ask := newServer(t)
	probes := map[string]*corev1.Probe{
		"startup": relay.StartupProbe, "liveness": relay.LivenessProbe, "readiness": relay.ReadinessProbe,
	}
	for what, probe := range probes {
		require.NotNil(t, probe, what)
		get := probe.HTTPGet
		require.NotNil(t, get, what)
		assert.Equal(t, port.Name, get.Port.StrVal, what)
		want := 200
		if what == "readiness" {
			want = 503 // this one's queue isn't there
			assert.Greater(t, time.Duration(probe.TimeoutSeconds)*time.Second, healthPatience)
		}
		assert.Equal(t, want, ask("GET", get.Path).StatusCode, "%s asks for what the relay serves", what)
	}
	assert.True(t, strings.HasSuffix(c.listen, ":8080"), "%s is where the probes ask", c.listen)
	assert.EqualValues(t, 8080, port.ContainerPort)

	memory := relay.Resources.Limits.Memory().Value()
	assert.Positive(t, memory)
	assert.Less(t, int64(c.queueBytes), memory/2, "payloads have room in the memory that it may use")
	assert.NotZero(t, relay.Resources.Requests.Cpu().MilliValue())
	assert.Equal(t, memory, relay.Resources.Requests.Memory().Value())
}

// What the Pod Security Standards' level "restricted" asks for, and a root file system that can't be written.
func TestDeploymentIsRestricted(t *testing.T) {
	pod := readManifests(t).deployment.Spec.Template.Spec
	relay := only(t, pod.Containers)
	require.NotNil(t, pod.SecurityContext)
	require.NotNil(t, relay.SecurityContext)
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.NotZero(t, *pod.SecurityContext.RunAsUser)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	assert.False(t, *relay.SecurityContext.AllowPrivilegeEscalation)
	assert.True(t, *relay.SecurityContext.ReadOnlyRootFilesystem)
	assert.Equal(t, []corev1.Capability{"ALL"}, relay.SecurityContext.Capabilities.Drop)
	assert.Empty(t, relay.SecurityContext.Capabilities.Add)
	assert.False(t, pod.HostNetwork || pod.HostPID || pod.HostIPC)
	secret := only(t, pod.Volumes).Secret
	require.NotNil(t, secret)
	assert.EqualValues(t, 0o440, *secret.DefaultMode, "the relay reads it by its group, and nobody else does")
	assert.Equal(t, pod.SecurityContext.RunAsGroup, pod.SecurityContext.FSGroup)
}
