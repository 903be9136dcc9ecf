#include "server/unknown_variables.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/config.h"
#include "server/engine/nearest_name.h"

namespace heed {
namespace {

constexpr char kPrefix[] = "HEED_";

// Without their common beginning, in which no name is nearer than another.
std::vector<std::string> KnownNames() {
  std::vector<std::string> known = {"SERVER"};  // of the command line, which asks the server
  for (const std::string& name : EnvironmentNames()) {
    known.emplace_back(absl::StripPrefix(name, kPrefix));
  }
  return known;
}

// HEED_SERVICE_HOST=10.0.0.1, HEED_PORT=tcp://10.0.0.1:50051, HEED_PORT_50051_TCP_PORT=50051.
bool IsOfAService(absl::string_view name, absl::string_view value) {
  if (absl::StrContains(name, "SERVICE_HOST") || absl::StrContains(name, "SERVICE_PORT")) {
    return true;
  }
  if (absl::StartsWith(value, "tcp://") || absl::StartsWith(value, "udp://")) return true;
  return absl::StrContains(name, "_TCP_") || absl::StrContains(name, "_UDP_");
}

}  // namespace

std::string UnknownVariablesWarning(absl::Span<const std::string> variables) {
  const std::vector<std::string> known = KnownNames();
  std::vector<std::string> unknown;
  for (absl::string_view variable : variables) {
    if (!absl::ConsumePrefix(&variable, kPrefix)) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(variable, absl::MaxSplits('=', 1));
    const auto [name, value] = parts;
    if (value.empty() || IsOfAService(name, value)) continue;
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest = NearestName(name, known);
    unknown.push_back(absl::StrCat(
        kPrefix, name,
        nearest.empty() ? "" : absl::StrCat(" (did you mean ", kPrefix, nearest, "?)")));
  }
  if (unknown.empty()) return "";
  std::sort(unknown.begin(), unknown.end());
  return absl::StrCat("environment variables that set nothing: ", absl::StrJoin(unknown, ", "),
                      "; --help lists the flags, each of which is a variable too");
}

std::vector<std::string> ProcessVariables() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace heed
