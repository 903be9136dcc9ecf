// Shows a generation as it arrives.
#ifndef HEED_CLIENT_CLI_VERBS_GENERATE_OUTPUT_H_
#define HEED_CLIENT_CLI_VERBS_GENERATE_OUTPUT_H_

#include <string>
#include <vector>

#include "client/cli/base/session.h"
#include "client/types.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

struct GenerateFormat {
  bool json = false;               // one line of JSON for each event
  bool log_probabilities = false;  // one line for each token
  bool attention = false;          // one line for each token, with the keys it was predicted from
};

class GenerateOutput {
 public:
  GenerateOutput(Session& session, const GenerateFormat& format)
      : session_(session), format_(format) {}

  void Show(const GenerateEvent& event);
  // What the generation was kept as: with --json an event of its own behind the end.
  void ShowTrace(const v1::TraceInfo& trace);

  // The generation failed or was cancelled: ends the line that was begun.
  void BreakOff();

 private:
  void ShowStart(const GenerateStart& start);
  void ShowToken(const GeneratedToken& token);
  void ShowEnd(const GenerateEnd& end);
  void ShowText(const std::string& text);
  void ShowTokenLine(const GeneratedToken& token);
  bool per_token() const { return format_.log_probabilities || format_.attention; }

  Session& session_;
  const GenerateFormat format_;
  std::vector<std::string> tokens_;  // those so far, the prompt's first, as people read them
  ModelIdentity model_;
  bool has_text_ = true;  // false where the model has no tokenizer: ids stand for its tokens
  Provenance provenance_;
  bool line_open_ = false;
};

// A key that a token was predicted from, in the head that gave it most weight.
struct StrongKey {
  int32_t key = 0;
  float weight = 0;
  int32_t layer = 0;
  int32_t head = 0;
};

// The `count` strongest keys over the last row of all tiles, each with its strongest head;
// strongest first. Leaves out the first position and the querying one itself, which heads with
// nothing to say attend to, and keys without weight.
std::vector<StrongKey> StrongestKeys(const std::vector<AttentionTile>& tiles, int count);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_VERBS_GENERATE_OUTPUT_H_
