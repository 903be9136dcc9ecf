// heed health, heed version.
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json.h"
#include "client/cli/base/table.h"
#include "client/cli/verbs/verbs.h"
#include "grpcpp/grpcpp.h"

namespace heed::cli {
namespace {

struct ServiceHealth {
  std::string service;
  Serving serving;
};

absl::StatusOr<std::vector<ServiceHealth>> AskHealth(const std::vector<std::string>& services,
                                                     Session& session) {
  auto client = session.client();
  if (!client.ok()) return client.status();
  std::vector<ServiceHealth> result;
  for (const std::string& service : services) {
    const auto serving = (*client)->Health(service, session.call_options());
    if (!serving.ok()) return serving.status();
    result.push_back({service, *serving});
  }
  return result;
}

void PrintHealth(const std::vector<ServiceHealth>& health, Session& session) {
  if (session.json()) {
    JsonWriter json(session.out());
    json.BeginObject().Key("services").BeginArray();
    for (const ServiceHealth& one : health) {
      json.BeginObject();
      json.Key("service").String(one.service);
      json.Key("status").String(Name(one.serving));
      json.EndObject();
    }
    json.EndArray().EndObject();
    json.EndLine();
    return;
  }
  Table table({{"service"}, {"status"}});
  for (const ServiceHealth& one : health) {
    table.AddRow({one.service.empty() ? "(whole server)" : one.service, Name(one.serving)});
  }
  session.out() << table.Render(session.terminal());
}

absl::Status RunHealth(const Arguments& arguments, Session& session) {
  std::vector<std::string> services = arguments.positionals();
  if (services.empty()) {
    services = {"",
                "heed.v1.ModelService",
                "heed.v1.PredictionService",
                "heed.v1.InspectionService",
                "heed.v1.ExperimentService",
                "heed.v1.EmbeddingService"};
  }
  const auto health = AskHealth(services, session);
  if (!health.ok()) return health.status();
  PrintHealth(*health, session);
  for (const ServiceHealth& one : *health) {
    if (one.serving == Serving::kServing) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(one.service.empty() ? "the server" : one.service, " is ", Name(one.serving)));
  }
  return absl::OkStatus();
}

absl::Status RunVersion(const Arguments&, Session& session) {
  if (session.json()) {
    JsonWriter json(session.out());
    json.BeginObject();
    json.Key("heed").String(HEED_VERSION);
    json.Key("grpc").String(grpc::Version());
    json.EndObject();
    json.EndLine();
  } else {
    session.out() << "heed " << HEED_VERSION << " (gRPC " << grpc::Version() << ")\n";
  }
  return absl::OkStatus();
}

}  // namespace

Verb HealthVerb() {
  return {.name = "health",
          .operands = "[SERVICE]",
          .max_operands = 1,
          .summary = "Ask whether the server is ready; exit code 0 when it is.",
          .description = "Without SERVICE, asks for the whole server and each of its services.",
          .example = "heed health --deadline=2s",
          .run = RunHealth};
}

Verb VersionVerb() {
  return {.name = "version",
          .summary = "Show the version of this command.",
          .example = "heed version",
          .run = RunVersion};
}

}  // namespace heed::cli
