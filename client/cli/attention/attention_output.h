// Attention for the terminal and as JSON.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_OUTPUT_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_OUTPUT_H_

#include "client/cli/attention/attention_page.h"
#include "client/cli/base/session.h"
#include "client/types.h"

namespace heed::cli {

// The head to show first, and why.
PageView FirstView(const AttentionMaps& maps);

// Dense maps: an overview of all heads when there are several, and the heat map of one.
void PrintAttention(const AttentionMaps& maps, Session& session);

// Top-k maps: one line for each row.
void PrintTopKeys(const AttentionMaps& maps, Session& session);

void WriteAttentionJson(const AttentionMaps& maps, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_OUTPUT_H_
