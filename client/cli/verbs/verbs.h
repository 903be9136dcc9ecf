// The verbs of the command line.
#ifndef HEED_CLIENT_CLI_VERBS_VERBS_H_
#define HEED_CLIENT_CLI_VERBS_VERBS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"

namespace heed::cli {

struct Verb {
  std::string name;
  std::string operands;  // as the help shows them: "PROMPT"
  int min_operands = 0;
  int max_operands = 0;
  std::string summary;      // one line
  std::string description;  // a paragraph for its own help; may be empty
  std::string example;      // can be pasted
  std::vector<OptionSpec> options;
  absl::Status (*run)(const Arguments& arguments, Session& session) = nullptr;
};

// In files verb_*.cc.
Verb ModelsVerb();
Verb DescribeVerb();
Verb TokenizeVerb();
Verb DetokenizeVerb();
Verb PredictVerb();
Verb GenerateVerb();
Verb AttentionVerb();
Verb StatsVerb();
Verb DetectVerb();
Verb LensVerb();
Verb AttributeVerb();
Verb ExplainVerb();
Verb InterveneVerb();
Verb SweepVerb();
Verb CompareVerb();
Verb ExploreVerb();
Verb LadderVerb();
Verb EmbedVerb();
Verb ActivationsVerb();
Verb RolloutVerb();
Verb DecomposeVerb();
Verb TracesVerb();
Verb BenchVerb();
Verb HealthVerb();
Verb VersionVerb();

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_VERBS_VERBS_H_
